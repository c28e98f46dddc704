// Forecasts of those who know nothing but the window: what a model has to beat.
#pragma once

#include "lab/forecast/score.hpp"
#include "lab/forecast/windows.hpp"

namespace gradstab::lab::forecast {

/// Every value is forecast as the last one that was seen.
Score score_last_value(const Windows& windows);

/// Every value is forecast as the mean of the window that was seen.
Score score_window_mean(const Windows& windows);

}  // namespace gradstab::lab::forecast
