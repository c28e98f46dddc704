#include "core/optimizer/optimizer_rule.hpp"

#include <variant>

#include "core/optimizer/adam_mini_partition.hpp"

namespace gradstab {
namespace {

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
  if (const auto* mini = std::get_if<AdamMiniOptions>(&options))
    return adam_mini_scalars(*mini, rule.decays, position);
  return std::visit(
      [&](const auto& typed) -> UpdateScalars {
        if constexpr (requires { scalars_of(typed, position); }) return scalars_of(typed, position);
        return {};
      },
      options);
}

std::size_t states_to_reset(const OptimizerOptions& options, StepPosition position) noexcept {
  if (const auto* spam = std::get_if<SpamOptions>(&options)) return states_to_reset(*spam, position);
  if (const auto* adam = std::get_if<AdamOptions>(&options)) return states_to_reset(*adam, position);
  return 0;
}

double advance_unit_moment(const AdamMiniOptions& options, std::int64_t step, double norm,
                           std::int64_t elements, double& second) noexcept {
  second = advanced_unit_moment(options, norm, elements, second);
  return unit_moment_root(second, decay_correction(options.beta2, step), options.epsilon);
}

}  // namespace gradstab
