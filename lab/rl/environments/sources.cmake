# The environments but for what needs MuJoCo's headers, for whoever compiles them on their own, and the models in them.
set(environment_sources
  environment.cpp environment_specs.cpp environment_state.cpp mujoco_environment.cpp mujoco_loader.cpp thread_team.cpp
  vector_environment.cpp)
set(environment_texts
  half_cheetah_xml=${CMAKE_CURRENT_LIST_DIR}/models/half_cheetah.xml ant_xml=${CMAKE_CURRENT_LIST_DIR}/models/ant.xml
  hopper_xml=${CMAKE_CURRENT_LIST_DIR}/models/hopper.xml walker_xml=${CMAKE_CURRENT_LIST_DIR}/models/walker2d.xml
  scene_xml=${CMAKE_CURRENT_LIST_DIR}/models/scene.xml)
