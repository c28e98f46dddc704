// How long runs of the reinforcement-learning task take.
#pragma once

#include <optional>

#include "lab/train/train_options.hpp"

namespace gradstab::lab::rl {

/// Seconds of one core; nothing for sizes that were not measured.
std::optional<double> rl_core_seconds(const TrainOptions& options);

}  // namespace gradstab::lab::rl
