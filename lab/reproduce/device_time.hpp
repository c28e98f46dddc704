// How long the runs of an item take on a GPU.
#pragma once

#include <vector>

#include "lab/reproduce/plan.hpp"

namespace gradstab::lab {

/// Seconds of `runs` on one H100, `jobs` at a time. Estimated from the number of operations, at rates that
/// make what was seen of `20m` come out.
double estimated_device_seconds(const std::vector<PlannedRun>& runs, int jobs);

}  // namespace gradstab::lab
