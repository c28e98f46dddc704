#include "lab/rl/rl_exhibits.hpp"

#include "lab/rl/view/policy_episode.hpp"
#include "lab/rl/view/pose_recording.hpp"

namespace gradstab::lab::rl {

Result<Json> rl_exhibits(Environment& environment, const Policy& policy, const EpisodeKey& key) {
  Json exhibits = Json::array();
  if (environment.shapes().empty()) return exhibits;
  PoseRecorder recorder(environment);
  const auto episode = run_episode(environment, policy, {.key = key}, [&](std::int64_t steps) {
    recorder.observe(environment, steps);
    return Status();
  });
  if (!episode) return episode.status();
  exhibits.push_back(Json(to_json(recorder.finish(
      environment.info().name + ".",
      "The beginning of an episode in which the policy takes the mean of its actions, which it draws around "
      "that mean in training and evaluations.",
      "this policy", episode->episode_return, episode->steps))));
  return exhibits;
}

}  // namespace gradstab::lab::rl
