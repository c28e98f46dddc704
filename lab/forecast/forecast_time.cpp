#include "lab/forecast/forecast_time.hpp"

#include "lab/forecast/earth_orientation.hpp"
#include "lab/forecast/forecast_settings.hpp"
#include "lab/support/arithmetic.hpp"

namespace gradstab::lab::forecast {
namespace {

/// Seconds per training window, evaluations included. Measured with the recipes `cpu` and `smoke`.
struct Measured {
  std::int64_t look_back, horizon, layers, width, heads, hidden;
  double seconds;
};
constexpr Measured kMeasured[] = {{96, 24, 2, 16, 4, 64, 90e-6}, {48, 12, 1, 16, 4, 16, 20e-6}};

constexpr double kStartSeconds = 0.4;  // loading LibTorch and the series, and the linear model

/// In the training part of the default series, but for the look-back and the horizon.
constexpr std::int64_t kTrainingRows = 15573;

}  // namespace

std::optional<double> forecast_core_seconds(const TrainOptions& options) {
  const ForecastSettings& settings = forecast_settings(options);
  if (settings.data != kEarthOrientationSource) return {};  // how long a series is, only its data says
  for (const Measured& measured : kMeasured) {
    if (measured.look_back != settings.look_back || measured.horizon != settings.horizon ||
        measured.layers != settings.layers || measured.width != settings.width ||
        measured.heads != settings.heads || measured.hidden != settings.hidden)
      continue;
    const std::int64_t windows =
        divided_up(kTrainingRows - settings.look_back - settings.horizon + 1, settings.window_stride);
    const std::int64_t trained =
        options.epochs > 0 ? options.epochs * windows : options.steps * options.batch * options.accumulation;
    return kStartSeconds + static_cast<double>(trained) * measured.seconds;
  }
  return {};
}

}  // namespace gradstab::lab::forecast
