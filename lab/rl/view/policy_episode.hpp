// A policy acts from the beginning of an episode to its end.
#pragma once

#include <cstdint>
#include <functional>

#include "gradstab/status.hpp"
#include "lab/rl/environments/environment.hpp"
#include "lab/rl/policy.hpp"

namespace gradstab::lab::rl {

struct PolicyEpisode {
  EpisodeKey key;       ///< of the start, and of what is sampled
  bool sample = false;  ///< actions as in training; otherwise the mean of each
};

struct EpisodeSummary {
  double episode_return = 0.0;
  std::int64_t steps = 0;
  bool terminated = false;  ///< false: it lasted until the time limit
};

/// Called after the reset, with 0, and after each step, with the number of steps so far. An error ends it.
using EpisodeWatcher = std::function<Status(std::int64_t steps)>;

/// Errors: those of Policy::check, of the environment, and of `watch`.
Result<EpisodeSummary> run_episode(Environment& environment, const Policy& policy,
                                   const PolicyEpisode& episode, const EpisodeWatcher& watch = {});

}  // namespace gradstab::lab::rl
