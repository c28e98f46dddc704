// OptimizerRule: from the settings of an optimizer to the rule and the numbers of one parameter's step.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "core/optimizer/step_scalars.hpp"
#include "core/step/global_norm.hpp"
#include "gradstab/optimizer.hpp"

namespace gradstab {

/// How one parameter is updated; fixed when the optimizer is bound.
struct ParameterRule {
  UpdateRule rule = UpdateRule::plain;
  std::size_t pieces = 1;     ///< segments that its gradient is measured in, a whole number per unit
  bool unit_moments = false;  ///< one second moment per unit, from the unit's norm (Adam-mini)
  std::size_t units = 1;      ///< equal parts of the parameter, one after the other
  bool decays = true;         ///< weight decay applies
};

/// Whether a state of the one can go on under the other.
inline bool same_state(const ParameterRule& a, const ParameterRule& b) noexcept {
  return state_count(a.rule) == state_count(b.rule) && a.unit_moments == b.unit_moments &&
         (!a.unit_moments || a.units == b.units);
}

/// Errors: negative, or not finite.
Status check_lr(double lr);

/// Of the parameter with this name and shape. Errors: Adam-mini's rules do not say clearly what it is.
Result<ParameterRule> parameter_rule(const OptimizerOptions& options, const Parameter& parameter);

/// The numbers of a step, but for the gradient's factor and what differs from segment to segment.
UpdateScalars update_scalars(const OptimizerOptions& options, StepPosition position);

/// How many of a parameter's state arrays, from the first on, are zeroed at this step before the gradient is
/// used (SPAM, Adam with a reset interval).
std::size_t reset_state_count(const OptimizerOptions& options, StepPosition position) noexcept;

/// Adam-mini: advances the second moment of one unit, whose gradient has this norm, and returns what the step
/// size is divided by.
double advance_unit_moment(const AdamMiniOptions& options, std::int64_t step, double norm,
                           std::int64_t elements, double& second) noexcept;

}  // namespace gradstab
