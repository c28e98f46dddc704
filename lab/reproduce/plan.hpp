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

/// Seconds that `runs` take on so many cores, from the speed measured on a 2-core AMD EPYC virtual machine
/// (docs/performance.md); nothing for sizes that were not measured.
std::optional<double> expected_seconds(const std::vector<PlannedRun>& runs, unsigned cores);

}  // namespace gradstab::lab
