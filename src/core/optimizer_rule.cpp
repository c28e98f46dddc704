#include "core/optimizer_rule.hpp"

#include <cmath>
#include <limits>
#include <variant>

#include "core/adam_mini_partition.hpp"

namespace gradstab {
namespace {

double correction(double beta, std::int64_t step) {
  return 1.0 - std::pow(beta, static_cast<double>(step));
}

UpdateRule rule_of(const SgdOptions& options) {
  if (options.momentum == 0.0) return UpdateRule::plain;
  return options.nesterov ? UpdateRule::nesterov : UpdateRule::momentum;
}

UpdateRule rule_of(const AdamOptions& options) {
  return options.amsgrad ? UpdateRule::amsgrad : UpdateRule::adam;
}

UpdateRule rule_of(const LionOptions&) {
  return UpdateRule::lion;
}

UpdateRule rule_of(const SpamOptions&) {
  return UpdateRule::spam;
}

/// Moments of Adam with bias correction folded into the step size and the root.
template <class Options>
UpdateScalars adam_moments(const Options& options, std::int64_t step) {
  UpdateScalars scalars;
  scalars.beta1 = options.beta1;
  scalars.weight1 = 1.0 - options.beta1;
  scalars.beta2 = options.beta2;
  scalars.weight2 = 1.0 - options.beta2;
  scalars.step_size = options.lr / correction(options.beta1, step);
  scalars.root_factor = 1.0 / std::sqrt(correction(options.beta2, step));
  scalars.epsilon = options.epsilon;
  return scalars;
}

UpdateScalars scalars_of(const SgdOptions& options, StepPosition position) {
  UpdateScalars scalars;
  scalars.l2 = options.weight_decay;
  scalars.step_size = options.lr;
  scalars.beta1 = options.momentum;
  // The first step fills an empty buffer with the gradient itself.
  scalars.weight1 = position.step == 1 ? 1.0 : 1.0 - options.dampening;
  return scalars;
}

UpdateScalars scalars_of(const AdamOptions& options, StepPosition position) {
  const std::int64_t interval = options.reset_interval;
  const bool was_reset = interval > 0 && position.step >= interval;
  UpdateScalars scalars = adam_moments(options, was_reset ? position.step % interval + 1 : position.step);
  (options.decoupled ? scalars.keep : scalars.l2) =
      options.decoupled ? 1.0 - options.lr * options.weight_decay : options.weight_decay;
  return scalars;
}

UpdateScalars scalars_of(const LionOptions& options, StepPosition) {
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

UpdateScalars scalars_of(const AdamMiniOptions& options, const ParameterRule& rule, StepPosition position) {
  UpdateScalars scalars = adam_moments(options, position.step);
  if (rule.decays) scalars.keep = 1.0 - options.lr * options.weight_decay;
  return scalars;
}

/// Steps since the last reset as SPAM counts them for its warm-up: beyond the warm-up before the first, and 0
/// at the step of a reset. The very first step has nothing to warm up from, even if it is a reset.
std::int64_t steps_since_reset(const SpamOptions& options, std::int64_t global) {
  const bool before_first = options.reset_interval == 0 || global < options.reset_interval || global == 1;
  return before_first ? options.warmup_steps + global : global % options.reset_interval;
}

UpdateScalars scalars_of(const SpamOptions& options, StepPosition position) {
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
  scalars.threshold = clips ? options.threshold : std::numeric_limits<double>::infinity();
  return scalars;
}

}  // namespace

Result<ParameterRule> parameter_rule(const OptimizerOptions& options, const Parameter& parameter) {
  if (const auto* mini = std::get_if<AdamMiniOptions>(&options)) return adam_mini_rule(*mini, parameter);
  return std::visit(
      [](const auto& typed) -> ParameterRule {
        if constexpr (requires { rule_of(typed); }) return {.rule = rule_of(typed)};
        return {};
      },
      options);
}

UpdateScalars update_scalars(const OptimizerOptions& options, const ParameterRule& rule,
                             StepPosition position) {
  return std::visit(
      [&](const auto& typed) {
        if constexpr (requires { scalars_of(typed, rule, position); }) {
          return scalars_of(typed, rule, position);
        } else {
          return scalars_of(typed, position);
        }
      },
      options);
}

std::size_t states_to_reset(const OptimizerOptions& options, StepPosition position) noexcept {
  const auto divides = [](std::int64_t interval, std::int64_t step) {
    return interval > 0 && step > 0 && step % interval == 0;
  };
  if (const auto* spam = std::get_if<SpamOptions>(&options))
    return divides(spam->reset_interval, position.global) ? kMaxStates : 0;
  const auto* adam = std::get_if<AdamOptions>(&options);
  if (adam == nullptr) return 0;
  // The released code drops the old moments after the step of the reset: that is, before the next one.
  if (adam->compat == Compat::released) return divides(adam->reset_interval, position.step - 1) ? 2 : 0;
  return divides(adam->reset_interval, position.step) ? kMaxStates : 0;
}

double advance_unit_moment(const AdamMiniOptions& options, std::int64_t step, double norm,
                           std::int64_t elements, double& second) noexcept {
  const double mean_square = elements > 0 ? norm * norm / static_cast<double>(elements) : 0.0;
  second = options.beta2 * second + (1.0 - options.beta2) * mean_square;
  return std::sqrt(second) / std::sqrt(correction(options.beta2, step)) + options.epsilon;
}

}  // namespace gradstab
