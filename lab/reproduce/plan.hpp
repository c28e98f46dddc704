// The runs of an item, as the sweep takes them.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "gradstab/status.hpp"
#include "lab/reproduce/item.hpp"
#include "lab/sweep/grid.hpp"

namespace gradstab::lab {

/// A run and its place in the plan.
struct PlannedRun {
  SweepPoint point;
  std::size_t part = 0;
  std::size_t arm = 0;
  std::size_t context = 0;
  int seed = 0;
};

/// All runs, one seed after the other, so that a plan that was stopped has whole seeds. `common` goes over
/// the settings of the parts: the user's own data. Errors: a setting that does not fit; names the run.
Result<std::vector<PlannedRun>> planned_runs(const Plan& plan, const Settings& common);

/// Seconds that `runs` take on so many idle cores of a virtual machine; nothing if one of them is of a size
/// that was not measured.
std::optional<double> expected_seconds(const std::vector<PlannedRun>& runs, unsigned cores);

/// Seconds of `runs` on one H100, `jobs` at a time; nothing likewise.
std::optional<double> estimated_device_seconds(const std::vector<PlannedRun>& runs, int jobs);

}  // namespace gradstab::lab
