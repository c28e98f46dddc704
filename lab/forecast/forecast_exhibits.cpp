#include "lab/forecast/forecast_exhibits.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <utility>

#include "lab/forecast/earth_orientation.hpp"
#include "lab/forecast/trivial_predictors.hpp"

namespace gradstab::lab::forecast {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::int64_t kMostChannels = 3;
/// Of what was seen, so many times the horizon is drawn.
constexpr std::int64_t kHorizonsSeen = 2;

Json scores_table(const Series& series, const Score& score, const Score& linear, const Windows& test) {
  std::string caption =
      "On all windows of the test part, on the scale on which each channel of the training part has mean 0 "
      "and variance 1. "
      "The linear model is one map from a window to what follows, the same for all channels, fitted to all "
      "training windows "
      "in closed form.";
  if (series.name == kEarthOrientationSource)
    caption +=
        " The rotation of the Earth is almost linear in its past: this series compares methods, not models.";
  Json rows = Json::array();
  const auto add = [&](const char* name, const Score& of) {
    rows.push_back({name, fmt::format("{:.4f}", of.mean_squared_error()),
                    fmt::format("{:.4f}", of.mean_absolute_error())});
  };
  add("PatchTST", score);
  add("linear model", linear);
  add("last value", score_last_value(test));
  add("mean of the window", score_window_mean(test));
  return {{"kind", "table"},
          {"title", "Beside simpler forecasts."},
          {"caption", caption},
          {"columns", {"forecast", "MSE", "MAE"}},
          {"rows", rows}};
}

/// The numbers of a line that is drawn from `first` on, and missing elsewhere.
Json line(const char* label, std::int64_t length, std::int64_t first, const float* values,
          std::int64_t count) {
  Json y = Json::array();
  for (std::int64_t i = 0; i < length; ++i)
    y.push_back(i >= first && i < first + count ? Json(values[i - first]) : Json());
  return {{"label", label}, {"y", y}};
}

}  // namespace

Json forecast_exhibits(const Series& series, const Forecaster& forecaster, const Score& score,
                       const Score& linear, const Windows& test) {
  Json exhibits = Json::array({scores_table(series, score, linear, test)});
  const std::int64_t index = test.count() / 2;
  const torch::Tensor forecast =
      forecaster(gather_from(test, index, 1).inputs).to(torch::kCPU, torch::kFloat).contiguous();
  const std::int64_t seen = std::min(test.look_back(), kHorizonsSeen * test.horizon());
  const std::int64_t length = seen + test.horizon();
  const std::int64_t row = test.first_target_row(index);
  const std::string begin = series.time_of(row);
  const std::int64_t channels = std::min(kMostChannels, test.channels());
  Json x = Json::array();
  for (std::int64_t i = 0; i < length; ++i) x.push_back(i - seen);
  for (std::int64_t n = 0; n < channels; ++n) {
    // Spread over all channels, the first and the last among them.
    const std::int64_t channel = channels > 1 ? n * (test.channels() - 1) / (channels - 1) : 0;
    exhibits.push_back(
        {{"kind", "lines"},
         {"title", fmt::format("Forecast of {}.", series.channels[static_cast<std::size_t>(channel)])},
         {"caption",
          fmt::format("A window in the middle of the test part. Across: steps from {}. Up: standard "
                      "deviations of the training part.",
                      begin)},
         {"x", x},
         {"lines",
          {line("seen", length, 0, test.input(index, channel) + test.look_back() - seen, seen),
           line("truth", length, seen, test.target(index, channel), test.horizon()),
           line("forecast", length, seen, forecast.data_ptr<float>() + channel * test.horizon(),
                test.horizon())}}});
  }
  return exhibits;
}

}  // namespace gradstab::lab::forecast
