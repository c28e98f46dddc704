// The settings of the forecasting task. No torch.
#pragma once

#include <concepts>
#include <cstdint>
#include <string>
#include <type_traits>

#include "gradstab/status.hpp"
#include "lab/forecast/corruption.hpp"
#include "lab/forecast/patch_tst_config.hpp"
#include "lab/train/train_options.hpp"

namespace gradstab::lab::forecast {

/// What the PatchTST and its series are, beside what every run has. The sizes are those published for ETTh1.
struct ForecastSettings {
  std::string data = "earth-orientation";
  std::int64_t look_back = 336;
  std::int64_t horizon = 96;
  std::int64_t window_stride = 1;

  std::int64_t layers = 3;
  std::int64_t width = 16;
  std::int64_t heads = 4;
  std::int64_t hidden = 128;
  double dropout = 0.3;
  bool revin_affine = false;

  double corrupt_probability = 0.0;
  double corrupt_level = 0.0;

  bool compat_drop_last = false;
  bool compat_revin_inverse = false;
};

/// Calls visit(name, field, help) for each of them, in the order of the help text.
template <class Settings, class Visit>
requires std::same_as<std::remove_const_t<Settings>, ForecastSettings>
void visit_settings(Settings& settings, Visit visit) {
  visit("data", settings.data,
        "series: a CSV file with a line of names and an optional column of dates, plain or gzip, or "
        "earth-orientation (Debian's python3-astropy)");
  visit("look_back", settings.look_back, "time steps that the model sees");
  visit("horizon", settings.horizon, "time steps that it forecasts");
  visit("window_stride", settings.window_stride,
        "train on every n-th window; evaluations during a run use every n-th window of the validation part");
  visit("layers", settings.layers, "encoder layers");
  visit("width", settings.width, "features of a patch (d_model)");
  visit("heads", settings.heads, "attention heads");
  visit("hidden", settings.hidden, "features of the feed-forward block (d_ff)");
  visit("dropout", settings.dropout, "rate of dropout");
  visit("revin_affine", settings.revin_affine,
        "learn a gain and a bias for each channel's normalization of the window");
  visit("corrupt_probability", settings.corrupt_probability,
        "share of the values of training inputs that get noise; validation and test stay clean");
  visit("corrupt_level", settings.corrupt_level,
        "standard deviation of that noise, in multiples of the largest value of the standardized training "
        "part");
  visit("compat_drop_last", settings.compat_drop_last,
        "as the published code: leave out the smaller last batch in training, validation and test");
  visit("compat_revin_inverse", settings.compat_revin_inverse,
        "as the published code: invert revin_affine by dividing by gain + 1e-10");
}

/// Those of a run of this task. Throws std::bad_cast for another task's.
const ForecastSettings& forecast_settings(const TrainOptions& options);

/// The sizes of the model for a series of so many channels.
PatchTstConfig patch_tst_config(const ForecastSettings& settings, std::int64_t channels);

/// The noise in training inputs.
Corruption corruption_of(const ForecastSettings& settings);

/// Of options whose other settings are valid. Errors name the setting, its value and what was expected.
Status validate_forecast(const TrainOptions& options);

}  // namespace gradstab::lab::forecast
