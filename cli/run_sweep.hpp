// A sweep with a progress line on the terminal.
#pragma once

#include <vector>

#include "lab/sweep/sweep.hpp"

namespace gradstab::cli {

/// Runs what has not finished, `jobs` at a time, until Ctrl-C. Errors: as of lab::run_sweep.
Result<std::vector<lab::SweepResult>> run_with_progress(const lab::SweepDirectory& directory,
                                                        const std::vector<lab::SweepPoint>& points, int jobs,
                                                        bool ignore_limits);

/// Says on standard error that runs failed, if any did, and where their output is. The exit code.
int exit_code_of_runs(const std::vector<lab::SweepResult>& results, const std::string& output);

}  // namespace gradstab::cli
