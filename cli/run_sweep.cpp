#include "cli/run_sweep.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <filesystem>

#include "cli/interrupt.hpp"
#include "cli/terminal.hpp"
#include "cli/training_program.hpp"

namespace gradstab::cli {
namespace {

std::string progress_text(const lab::SweepProgress& progress) {
  std::string text = fmt::format("run {}/{}", progress.done, progress.runs);
  if (progress.failed > 0) text += fmt::format("  {} failed", progress.failed);
  if (!std::isnan(progress.seconds_left)) text += "  ETA " + format_duration(progress.seconds_left);
  return text + "  " + progress.current;
}

}  // namespace

Result<std::vector<lab::SweepResult>> run_with_progress(const lab::SweepDirectory& directory,
                                                        const std::vector<lab::SweepPoint>& points, int jobs,
                                                        bool ignore_limits) {
  catch_interrupts();
  lab::SweepRequest request;
  request.program = training_program();
  request.jobs = jobs;
  request.ignore_limits = ignore_limits;
  request.should_stop = interrupted;
  ProgressLine line;
  request.on_progress = [&](const lab::SweepProgress& progress) {
    line.show(progress.fraction, progress_text(progress));
  };
  auto results = lab::run_sweep(directory, points, request);
  line.finish();
  return results;
}

int exit_code_of_runs(const std::vector<lab::SweepResult>& results, const std::string& output) {
  const auto failed = std::ranges::count(results, lab::SweepResult::State::failed, &lab::SweepResult::state);
  if (failed == 0) return kExitOk;
  print_error(
      fmt::format("{} of {} runs failed; their output is in '{}'; the same command tries them again, from "
                  "their checkpoints where there are any",
                  failed, results.size(), (std::filesystem::path(output) / "logs").string()));
  return kExitFailure;
}

}  // namespace gradstab::cli
