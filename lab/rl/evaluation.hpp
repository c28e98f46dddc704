// How well a policy does: a few episodes side by side, from the same starts every time.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "gradstab/status.hpp"
#include "lab/rl/environments/vector_environment.hpp"

namespace gradstab::lab::rl {

struct EpisodeStatistics {
  double mean_return = 0.0;
  double deviation = 0.0;    ///< of the returns, as of a population
  double mean_length = 0.0;  ///< steps
};

/// Actions for all environments at vector step `step`: `actions` is [environments, action size], in [-1, 1],
/// for `observations` as the environments show them.
using ActInAll =
    std::function<Status(std::int64_t step, std::span<const double> observations, std::span<double> actions)>;

/// The first episode of each environment, begun anew.
Result<EpisodeStatistics> run_episodes(VectorEnvironment& environments, const ActInAll& act);

/// Uniform actions in [-1, 1], functions of the seed.
ActInAll random_actions(std::uint64_t seed);

}  // namespace gradstab::lab::rl
