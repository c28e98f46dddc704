// What a page shows of a trained policy: how it moves. No torch.
#pragma once

#include "gradstab/status.hpp"
#include "lab/rl/environments/environment.hpp"
#include "lab/rl/policy.hpp"
#include "lab/support/json.hpp"

namespace gradstab::lab::rl {

/// A list with the recorded poses of one episode, in which the policy takes the mean of its actions; an empty
/// one where the environment has nothing to draw. Errors: those of run_episode.
Result<Json> rl_exhibits(Environment& environment, const Policy& policy, const EpisodeKey& key);

}  // namespace gradstab::lab::rl
