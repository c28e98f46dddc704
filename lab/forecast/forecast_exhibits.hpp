// What the page of a forecasting run shows beside its numbers.
#pragma once

#include <nlohmann/json.hpp>

#include "lab/forecast/batches.hpp"
#include "lab/forecast/score.hpp"
#include "lab/forecast/series.hpp"
#include "lab/forecast/windows.hpp"

namespace gradstab::lab::forecast {

/// A table of the model's `score` on the test part beside those who know less: `linear`, which is that of the
/// linear map in closed form, fitted to all training windows, the last value and the mean of the window.
/// Then, for three channels at most, lines of what was seen, of the truth and of the forecast in the middle
/// of the test part (lab/page/exhibits.hpp).
nlohmann::ordered_json forecast_exhibits(const Series& series, const Forecaster& forecaster,
                                         const Score& score, const Score& linear, const Windows& test);

}  // namespace gradstab::lab::forecast
