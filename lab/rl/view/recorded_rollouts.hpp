// Files of recorded roll-outs: replayed from their initial states and actions, so that anyone can compare
// implementations of the environments number by number. docs/rl.md describes the format.
#pragma once

#include <string>
#include <string_view>

#include "gradstab/status.hpp"
#include "lab/support/json.hpp"

namespace gradstab::lab::rl {

struct ReplayRequest {
  std::string environment;      ///< empty: the file's
  std::string model;            ///< MJCF text in place of the program's own; empty: the program's own
  std::string model_name = {};  ///< of its file, for messages
};

/// The file as this program computes it: the constants of the model, and of each roll-out its input (name,
/// action_formula, set_qpos, set_qvel, actions) with the numbers that follow from it. What cannot be computed
/// again is left out: asset, provenance, notes, and state_twin_dev_* and model_twin_dev_* of steps.
///
/// Errors, which name the place in the file: an unknown environment, or another than the file's; a missing
/// key; a wrong length; a number that is none; a step that is not there; a simulation that is lost; those of
/// compile_model.
Result<std::string> replay_rollouts(const Json& recording, const ReplayRequest& request);

}  // namespace gradstab::lab::rl
