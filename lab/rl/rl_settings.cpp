#include "lab/rl/rl_settings.hpp"

#include "lab/rl/environments/environment.hpp"
#include "lab/train/setting_checks.hpp"

namespace gradstab::lab::rl {

const RlSettings& rl_settings(const TrainOptions& options) {
  return options.task.as<RlSettings>();
}

std::int64_t samples_per_collect(const RlSettings& settings) noexcept {
  return settings.environments * settings.horizon;
}

std::int64_t updates_per_pass(const TrainOptions& options) {
  return samples_per_collect(rl_settings(options)) / (options.batch * options.accumulation);
}

std::int64_t updates_per_collect(const TrainOptions& options) {
  return updates_per_pass(options) * rl_settings(options).passes;
}

AdvantageRule advantage_rule(const RlSettings& settings) noexcept {
  return {settings.gamma, settings.lambda};
}

Status validate_rl(const TrainOptions& options) {
  const RlSettings& settings = rl_settings(options);
  if (const auto name = environment_name(settings.environment); !name) return name.status();
  GRADSTAB_RETURN_IF_ERROR(within("environments", 1, 1024, settings.environments));
  GRADSTAB_RETURN_IF_ERROR(within("horizon", 1, 100'000, settings.horizon));
  GRADSTAB_RETURN_IF_ERROR(within("passes", 1, 10'000, settings.passes));
  GRADSTAB_RETURN_IF_ERROR(within("width", 1, 8192, settings.width));
  GRADSTAB_RETURN_IF_ERROR(within("evaluation_episodes", 1, 1024, settings.evaluation_episodes));
  const auto fraction = [](const char* name, double value) {
    return value >= 0.0 && value <= 1.0 ? Status() : invalid_setting(name, "in [0, 1]", value);
  };
  GRADSTAB_RETURN_IF_ERROR(fraction("gamma", settings.gamma));
  GRADSTAB_RETURN_IF_ERROR(fraction("lambda", settings.lambda));
  GRADSTAB_RETURN_IF_ERROR(positive("ratio_clip", settings.ratio_clip));
  GRADSTAB_RETURN_IF_ERROR(not_negative("value_clip", settings.value_clip));
  GRADSTAB_RETURN_IF_ERROR(not_negative("value_coefficient", settings.value_coefficient));
  GRADSTAB_RETURN_IF_ERROR(not_negative("entropy_coefficient", settings.entropy_coefficient));
  const std::int64_t samples = samples_per_collect(settings);
  const std::string collected = fmt::format("{} environment steps of a collect ({} environments of {} steps)",
                                            samples, settings.environments, settings.horizon);
  if (samples % options.batch != 0)
    return invalid_setting("batch", "a divisor of the " + collected, options.batch);
  if (samples / options.batch % options.accumulation != 0)
    return invalid_setting("accumulation",
                           fmt::format("a divisor of the {} batches of {} in the {}", samples / options.batch,
                                       options.batch, collected),
                           options.accumulation);
  if (options.select == "best")
    return invalid_setting("select", "last for this task: the moments of observations are those of the end",
                           options.select);
  if (options.precision != "fp32")
    return invalid_setting("precision", "fp32 for this task", "'" + options.precision + "'");
  return {};
}

}  // namespace gradstab::lab::rl
