// Forecasting with PatchTST.
#pragma once

#include <memory>

#include "gradstab/status.hpp"
#include "lab/train/task.hpp"
#include "lab/train/task_kind.hpp"

namespace gradstab::lab::forecast {

/// Reads the series. Errors: those of read_forecast_data.
Result<std::unique_ptr<Task>> make_forecast_task(const TrainOptions& options,
                                                 const PreparationProgress& on_progress);

}  // namespace gradstab::lab::forecast
