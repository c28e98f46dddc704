#include "lab/forecast/forecast_settings.hpp"

#include "lab/train/setting_checks.hpp"

namespace gradstab::lab::forecast {

const ForecastSettings& forecast_settings(const TrainOptions& options) {
  return options.task.as<ForecastSettings>();
}

PatchTstConfig patch_tst_config(const ForecastSettings& settings, std::int64_t channels) {
  PatchTstConfig config;
  config.look_back = settings.look_back;
  config.horizon = settings.horizon;
  config.layers = settings.layers;
  config.heads = settings.heads;
  config.width = settings.width;
  config.hidden = settings.hidden;
  config.dropout = settings.dropout;
  config.revin_affine = settings.revin_affine;
  config.channels = channels;
  config.compat_revin_inverse = settings.compat_revin_inverse;
  return config;
}

Corruption corruption_of(const ForecastSettings& settings) {
  return {settings.corrupt_probability, settings.corrupt_level};
}

Status validate_forecast(const TrainOptions& options) {
  const ForecastSettings& settings = forecast_settings(options);
  if (settings.data.empty())
    return invalid_setting("data", "a CSV file or earth-orientation", "an empty name");
  constexpr std::int64_t kLongest = 1'000'000;
  GRADSTAB_RETURN_IF_ERROR(within("look_back", 1, kLongest, settings.look_back));
  GRADSTAB_RETURN_IF_ERROR(within("horizon", 1, kLongest, settings.horizon));
  GRADSTAB_RETURN_IF_ERROR(within("window_stride", 1, kLongest, settings.window_stride));
  // Any number of channels will do here: how many there are is known with the data.
  GRADSTAB_RETURN_IF_ERROR(patch_tst_config(settings, 1).validate());
  GRADSTAB_RETURN_IF_ERROR(corruption_of(settings).validate());
  if (settings.corrupt_level > 0.0 && settings.corrupt_probability == 0.0)
    return invalid_setting("corrupt_probability", "above 0 if corrupt_level is",
                           settings.corrupt_probability);
  if (settings.compat_revin_inverse && !settings.revin_affine)
    return invalid_setting("compat_revin_inverse", "false without revin_affine, whose inverse it changes",
                           "true");
  if (options.precision != "fp32")
    return invalid_setting("precision", "fp32 for this task", "'" + options.precision + "'");
  return {};
}

}  // namespace gradstab::lab::forecast
