// Runs every point of a grid, each in a process of its own.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "gradstab/status.hpp"
#include "lab/sweep/grid.hpp"
#include "lab/sweep/sweep_directory.hpp"
#include "lab/train/machine_limits.hpp"

namespace gradstab::lab {

struct SweepProgress {
  double fraction = 0.0;      ///< of all updates of all runs
  double seconds_left = 0.0;  ///< estimated; NaN before anything is known
  std::size_t runs = 0;
  std::size_t done = 0;  ///< finished or failed, skipped ones included
  std::size_t failed = 0;
  std::string current;  ///< names of the running ones
};

struct SweepRequest {
  std::string program;  ///< the one that `train TASK` is given to
  int jobs = 1;         ///< runs at the same time, which divide the cores among them unless told otherwise
  bool ignore_limits = false;  ///< given to the runs
  std::function<void(const SweepProgress&)> on_progress;
  std::function<bool()> should_stop;
};

/// What became of one run.
struct SweepResult {
  enum class State { pending, finished, failed };
  SweepPoint point;
  State state = State::pending;
  bool skipped = false;  ///< had finished in an earlier call
  int exit_code = 0;     ///< of a failed run
  std::string error;     ///< its last words, or the signal that ended it
  Json summary;          ///< of a finished one; "diverged" is a result like any other
};

std::string_view to_string(SweepResult::State state);

/// Whether every run can fit this machine with as many others at its side; the error names the first that
/// cannot.
Status check_machine(const std::vector<SweepPoint>& points, const Machine& machine, int jobs);

/// Runs what has not finished: from its checkpoint where it has one, afresh otherwise. A run that fails does
/// not keep the others from running. Stopped, it lets the runs write their checkpoints; the rest is pending.
/// results.json is written after every run. Errors: those of the directory and of starting processes.
Result<std::vector<SweepResult>> run_sweep(const SweepDirectory& directory,
                                           const std::vector<SweepPoint>& points,
                                           const SweepRequest& request);

}  // namespace gradstab::lab
