// From the settings of an optimizer to its rule and the numbers of one step. Written once, for host and
// device.
//
// Of every alternative of OptimizerOptions: rule_of, or an overload of parameter_rule (optimizer_rule.cpp);
// step_settings, which most share; scalars_of; states_to_reset, which those without a reset_interval share.
// An optimizer without one of them does not compile.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <utility>

#include "gradstab/backend.hpp"
#include "gradstab/decide.hpp"
#include "gradstab/optimizer.hpp"

namespace gradstab {

/// What the numbers of a step depend on beside the settings.
struct StepPosition {
  std::int64_t step;    ///< of this parameter, from 1
  std::int64_t global;  ///< of the optimizer, from 1
  bool decays = true;   ///< weight decay applies to this parameter; asked by Adam-mini
};

/// Adam-mini's settings without the names of its parameters, which no device can hold.
struct AdamMiniNumbers {
  double lr = 0.0;
  double beta1 = 0.0;
  double beta2 = 0.0;
  double epsilon = 0.0;
  double weight_decay = 0.0;
};

/// What of the options a step takes: plain numbers, which a device can hold.
template <class Options>
const Options& step_settings(const Options& options) {
  static_assert(std::is_trivially_copyable_v<Options>,
                "options that are more than numbers need a step_settings of their own");
  return options;
}
inline AdamMiniNumbers step_settings(const AdamMiniOptions& options) {
  return {options.lr, options.beta1, options.beta2, options.epsilon, options.weight_decay};
}

template <class Options>
using StepSettings = std::remove_cvref_t<decltype(step_settings(std::declval<const Options&>()))>;

inline UpdateRule rule_of(const SgdOptions& options) {
  if (options.momentum == 0.0) return UpdateRule::plain;
  return options.nesterov ? UpdateRule::nesterov : UpdateRule::momentum;
}
inline UpdateRule rule_of(const AdamOptions& options) {
  return options.amsgrad ? UpdateRule::amsgrad : UpdateRule::adam;
}
inline UpdateRule rule_of(const LionOptions&) {
  return UpdateRule::lion;
}
inline UpdateRule rule_of(const SpamOptions&) {
  return UpdateRule::spam;
}

GRADSTAB_HOST_DEVICE inline double decay_correction(double beta, std::int64_t step) {
  return 1.0 - std::pow(beta, static_cast<double>(step));
}

/// Moments of Adam with bias correction folded into the step size and the root.
template <class Options>
GRADSTAB_HOST_DEVICE UpdateScalars adam_moments(const Options& options, std::int64_t step) {
  UpdateScalars scalars;
  scalars.beta1 = options.beta1;
  scalars.weight1 = 1.0 - options.beta1;
  scalars.beta2 = options.beta2;
  scalars.weight2 = 1.0 - options.beta2;
  scalars.step_size = options.lr / decay_correction(options.beta1, step);
  scalars.root_factor = 1.0 / std::sqrt(decay_correction(options.beta2, step));
  scalars.epsilon = options.epsilon;
  return scalars;
}

GRADSTAB_HOST_DEVICE inline UpdateScalars scalars_of(const SgdOptions& options, StepPosition position) {
  UpdateScalars scalars;
  scalars.l2 = options.weight_decay;
  scalars.step_size = options.lr;
  scalars.beta1 = options.momentum;
  // The first step fills an empty buffer with the gradient itself.
  scalars.weight1 = position.step == 1 ? 1.0 : 1.0 - options.dampening;
  return scalars;
}

GRADSTAB_HOST_DEVICE inline UpdateScalars scalars_of(const AdamOptions& options, StepPosition position) {
  const std::int64_t interval = options.reset_interval;
  const bool was_reset = interval > 0 && position.step >= interval;
  UpdateScalars scalars = adam_moments(options, was_reset ? position.step % interval + 1 : position.step);
  if (options.decoupled) {
    scalars.keep = 1.0 - options.lr * options.weight_decay;
  } else {
    scalars.l2 = options.weight_decay;
  }
  return scalars;
}

GRADSTAB_HOST_DEVICE inline UpdateScalars scalars_of(const LionOptions& options, StepPosition) {
  UpdateScalars scalars;
  const double decay =
      options.decay_over_lr > 0.0 ? options.weight_decay / options.decay_over_lr : options.weight_decay;
  scalars.keep = 1.0 - options.lr * decay;
  scalars.step_size = options.lr;
  scalars.beta1 = options.beta1;
  scalars.weight1 = 1.0 - options.beta1;
  scalars.beta2 = options.beta2;
  scalars.weight2 = 1.0 - options.beta2;
  return scalars;
}

GRADSTAB_HOST_DEVICE inline UpdateScalars scalars_of(const AdamMiniNumbers& options, StepPosition position) {
  UpdateScalars scalars = adam_moments(options, position.step);
  if (position.decays) scalars.keep = 1.0 - options.lr * options.weight_decay;
  return scalars;
}

/// Steps since the last reset as SPAM counts them for its warm-up: beyond the warm-up before the first, and 0
/// at the step of a reset. The very first step has nothing to warm up from, even if it is a reset.
GRADSTAB_HOST_DEVICE inline std::int64_t steps_since_reset(const SpamOptions& options, std::int64_t global) {
  const bool before_first = options.reset_interval == 0 || global < options.reset_interval || global == 1;
  return before_first ? options.warmup_steps + global : global % options.reset_interval;
}

GRADSTAB_HOST_DEVICE inline UpdateScalars scalars_of(const SpamOptions& options, StepPosition position) {
  UpdateScalars scalars = adam_moments(options, position.step);
  const auto warmup = static_cast<double>(options.warmup_steps);
  const std::int64_t since = steps_since_reset(options, position.global);
  double scale = 1.0;
  if (since < options.warmup_steps) {
    const double pi = 3.14159265358979323846;
    scale = 1.0 - 0.99 * (1.0 + std::cos(pi * static_cast<double>(since) / (warmup + 1.0))) / 2.0;
  }
  // Epsilon joins the root before the bias correction, which therefore goes with the step size.
  scalars.step_size *= scale / scalars.root_factor;
  scalars.root_factor = 1.0;
  scalars.keep_after = 1.0 - options.lr * options.weight_decay;
  const std::int64_t interval = options.reset_interval;
  const bool clips = position.global >= options.quiet_steps &&
                     (interval == 0 || position.global % interval >= options.quiet_steps);
  // Without clipping the limit is what no square exceeds: not even where the second moment is 0.
  scalars.threshold = clips ? options.threshold : HUGE_VAL;
  return scalars;
}

GRADSTAB_HOST_DEVICE inline bool divides(std::int64_t interval, std::int64_t step) {
  return interval > 0 && step > 0 && step % interval == 0;
}

/// How many of a parameter's state arrays, from the first on, are zeroed at this step before the gradient is
/// used: none of an optimizer that has no reset_interval.
template <class Settings>
requires(!requires(const Settings& settings) { settings.reset_interval; }) GRADSTAB_HOST_DEVICE std::size_t
    states_to_reset(const Settings&, StepPosition) {
  return 0;
}
GRADSTAB_HOST_DEVICE inline std::size_t states_to_reset(const SpamOptions& options, StepPosition position) {
  return divides(options.reset_interval, position.global) ? kMaxStates : 0;
}
GRADSTAB_HOST_DEVICE inline std::size_t states_to_reset(const AdamOptions& options, StepPosition position) {
  // The released code drops the old moments after the step of the reset: that is, before the next one.
  if (options.compat == Compat::released)
    return divides(options.reset_interval, position.step - 1) ? std::size_t{2} : std::size_t{0};
  return divides(options.reset_interval, position.step) ? kMaxStates : 0;
}

/// Adam-mini: the second moment of one unit after a step whose gradient has this norm.
GRADSTAB_HOST_DEVICE inline double advanced_unit_moment(const AdamMiniNumbers& options, double norm,
                                                        std::int64_t elements, double second) {
  const double mean_square = elements > 0 ? norm * norm / static_cast<double>(elements) : 0.0;
  return options.beta2 * second + (1.0 - options.beta2) * mean_square;
}

/// What the step size of that unit is divided by. `correction` is decay_correction(beta2, step).
GRADSTAB_HOST_DEVICE inline double unit_moment_root(double second, double correction, double epsilon) {
  return std::sqrt(second) / std::sqrt(correction) + epsilon;
}

}  // namespace gradstab
