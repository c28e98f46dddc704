// The methods and controls that the items compare, with the settings that the paper holds fixed.
#pragma once

#include <string_view>
#include <vector>

#include "lab/reproduce/item.hpp"

namespace gradstab::lab {

/// The arm that everything is about: GradientStabilizer as published.
inline constexpr const char* kMethod = "stabilize";

/// none, clip_by_value, clip, adaptive_clip, zclip, stabilize: the rows of the paper's tables. robust: the
/// method with robust moments. normalize, beta2 (no method, beta2 0.95) and scale (all gradients times 5):
/// controls that a method should beat. clip_half: norm clip as the recipe of reinforcement learning has it.
/// spam, stable_spam: optimizers of their own. none-skip_step, stabilize-skip_step: a step with a NaN is left
/// out. Throws std::out_of_range for another name.
Arm arm_named(std::string_view name);

std::vector<Arm> arms_named(const std::vector<std::string_view>& names);

}  // namespace gradstab::lab
