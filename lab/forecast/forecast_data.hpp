// The series of a run, on its scale and in its parts. No torch.
#pragma once

#include <memory>

#include "gradstab/status.hpp"
#include "lab/forecast/forecast_settings.hpp"
#include "lab/forecast/parts.hpp"
#include "lab/forecast/series.hpp"
#include "lab/forecast/standardization.hpp"
#include "lab/forecast/windows.hpp"
#include "lab/train/task_kind.hpp"

namespace gradstab::lab::forecast {

/// Everything that a run reads. The windows point to `standard`, so that it stays where it is.
struct ForecastData {
  ForecastData(Series the_series, Parts the_parts, StandardSeries numbers, const ForecastSettings& settings);
  ForecastData(const ForecastData&) = delete;
  ForecastData& operator=(const ForecastData&) = delete;

  Series series;
  Parts parts;
  StandardSeries standard;
  Windows training, validation, test;
};

/// Errors: those of read_series, split_rows and StandardSeries::of.
Result<std::unique_ptr<const ForecastData>> read_forecast_data(const ForecastSettings& settings);

/// What `gradstab data forecast` says.
DataReport data_report(const ForecastData& data);

}  // namespace gradstab::lab::forecast
