# The parts of reinforcement learning that need neither torch nor MuJoCo's headers, for whoever compiles them on their own.
set(rl_kind rl_kind.cpp rl_recipes.cpp rl_settings.cpp rl_time.cpp)
set(rl_experience collector.cpp evaluation.cpp rollout.cpp running_moments.cpp)
