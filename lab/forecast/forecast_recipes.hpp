// Named settings of the forecasting task.
#pragma once

#include <vector>

#include "lab/train/task_kind.hpp"

namespace gradstab::lab::forecast {

/// smoke, cpu, gpu and published, and one for each series that PatchTST was published with.
std::vector<Recipe> forecast_recipes();

}  // namespace gradstab::lab::forecast
