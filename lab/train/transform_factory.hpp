// From settings to a chain of transforms.
#pragma once

#include <string>

#include "gradstab/transform.hpp"
#include "lab/train/train_options.hpp"

namespace gradstab::lab {

/// The methods of `--transform`, as a list for help texts and errors.
std::string known_transforms();

/// Whether `transform` is "none" or known methods joined by '+'. Errors name the part that is not.
Status check_transform(const std::string& transform);

/// The chain that the settings name. It begins with record_norms, so that gradient spikes are counted with
/// the same yardstick whatever follows. The settings are valid.
GradientTransform make_transform(const TrainOptions& options);

NonFinitePolicy nonfinite_policy(const TrainOptions& options);

}  // namespace gradstab::lab
