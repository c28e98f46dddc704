// How long a language-model run takes, as far as that was measured.
#pragma once

#include <optional>

#include "lab/train/train_options.hpp"

namespace gradstab::lab {

/// Seconds on one core, from the speed measured on a 2-core AMD EPYC virtual machine (docs/performance.md);
/// nothing for sizes that were not measured.
std::optional<double> llm_core_seconds(const TrainOptions& options);

/// Seconds on an H100 that `jobs` such runs share. Estimated from the number of operations, at rates that
/// make what was seen of `20m` come out.
double llm_device_seconds(const TrainOptions& options, int jobs);

}  // namespace gradstab::lab
