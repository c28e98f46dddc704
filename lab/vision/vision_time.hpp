// How long runs take.
#pragma once

#include <optional>

#include "lab/train/train_options.hpp"

namespace gradstab::lab::vision {

/// Seconds of a run on one idle core of a 2-core Intel Xeon, on Fashion-MNIST; nothing for models and sizes
/// of pictures that were not measured.
std::optional<double> vision_core_seconds(const TrainOptions& options);

}  // namespace gradstab::lab::vision
