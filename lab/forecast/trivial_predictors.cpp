#include "lab/forecast/trivial_predictors.hpp"

#include <numeric>
#include <vector>

namespace gradstab::lab::forecast {
namespace {

template <class Predictor>
Score score_constant(const Windows& windows, const Predictor& predict) {
  Score score;
  std::vector<float> forecast(static_cast<std::size_t>(windows.horizon()));
  for (std::int64_t index = 0; index < windows.count(); ++index)
    for (std::int64_t channel = 0; channel < windows.channels(); ++channel) {
      forecast.assign(forecast.size(), predict(windows.input(index, channel)));
      score.add(forecast.data(), windows.target(index, channel), windows.horizon());
    }
  return score;
}

}  // namespace

Score score_last_value(const Windows& windows) {
  return score_constant(windows, [&](const float* input) { return input[windows.look_back() - 1]; });
}

Score score_window_mean(const Windows& windows) {
  const auto length = windows.look_back();
  return score_constant(windows, [&](const float* input) {
    return static_cast<float>(std::accumulate(input, input + length, 0.0) / static_cast<double>(length));
  });
}

}  // namespace gradstab::lab::forecast
