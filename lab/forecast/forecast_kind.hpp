// The forecasting task as the list of tasks knows it. No torch.
#pragma once

#include "lab/train/task_kind.hpp"

namespace gradstab::lab::forecast {

/// Lives as long as the program.
const TaskKind& forecast_kind();

}  // namespace gradstab::lab::forecast
