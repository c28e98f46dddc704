// How long runs take.
#pragma once

#include <optional>

#include "lab/train/train_options.hpp"

namespace gradstab::lab::forecast {

/// Seconds of a run on one idle core of a 2-core Intel Xeon, on the default series; nothing for sizes that
/// were not measured.
std::optional<double> forecast_core_seconds(const TrainOptions& options);

}  // namespace gradstab::lab::forecast
