#include "core/optimizer/optimizer_rule.hpp"

#include <variant>

#include "core/optimizer/adam_mini_partition.hpp"

namespace gradstab {
namespace {

template <class Options>
Result<ParameterRule> rule_for(const Options& options, const Parameter&) {
  return ParameterRule{.rule = rule_of(options)};
}

Result<ParameterRule> rule_for(const AdamMiniOptions& options, const Parameter& parameter) {
  return adam_mini_rule(options, parameter);
}

}  // namespace

Result<ParameterRule> parameter_rule(const OptimizerOptions& options, const Parameter& parameter) {
  return std::visit([&](const auto& typed) { return rule_for(typed, parameter); }, options);
}

UpdateScalars update_scalars(const OptimizerOptions& options, StepPosition position) {
  return std::visit([&](const auto& typed) { return scalars_of(step_settings(typed), position); }, options);
}

std::size_t reset_state_count(const OptimizerOptions& options, StepPosition position) noexcept {
  return std::visit([&](const auto& typed) { return states_to_reset(step_settings(typed), position); },
                    options);
}

double advance_unit_moment(const AdamMiniOptions& options, std::int64_t step, double norm,
                           std::int64_t elements, double& second) noexcept {
  const AdamMiniNumbers settings = step_settings(options);
  second = advanced_unit_moment(settings, norm, elements, second);
  return unit_moment_root(second, decay_correction(settings.beta2, step), settings.epsilon);
}

}  // namespace gradstab
