// gradstab sweep
#include "lab/sweep/sweep.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <memory>

#include "cli/commands.hpp"
#include "cli/interrupt.hpp"
#include "cli/run_sweep.hpp"
#include "cli/terminal.hpp"
#include "cli/training_program.hpp"
#include "cli/values.hpp"
#include "lab/report/report.hpp"
#include "lab/support/files.hpp"

namespace gradstab::cli {
namespace {

using lab::SweepResult;

struct SweepArguments {
  lab::TrainOptions base;
  std::vector<std::string> over;
  std::string output;
  int jobs = 1;
  bool ignore_limits = false;
};

std::string outcome_of(const SweepResult& result) {
  if (result.state == SweepResult::State::failed)
    return fmt::format("failed ({}): {}", result.exit_code, result.error);
  if (result.state == SweepResult::State::pending) return "pending";
  const auto diverged = lab::as_truth(result.summary.value("diverged", lab::Json()));
  std::string text = diverged.value_or(false) ? "DIVERGED" : "finished";
  if (result.skipped) text += ", earlier";
  return text;
}

void print_table(const std::vector<SweepResult>& results) {
  std::size_t width = 3;
  for (const SweepResult& result : results) width = std::max(width, printable(result.point.name).size());
  print("{:<{}}  {:>9}  {:>7}  {}\n", "run", width, "val. loss", "spikes", "state");
  for (const SweepResult& result : results) {
    const auto figure = [&](const char* key, const char* format) {
      const bool there = result.summary.is_object() && result.summary.contains(key);
      const auto value = there ? lab::as_number(result.summary[key]) : std::nullopt;
      return value ? fmt::format(fmt::runtime(format), *value) : std::string("-");
    };
    print("{:<{}}  {:>9}  {:>7}  {}\n", result.point.name, width, figure("final_validation_loss", "{:.4f}"),
          figure("spikes", "{:.0f}"), outcome_of(result));
  }
}

/// One page over all runs that have finished.
Status write_report(const lab::SweepDirectory& directory, const std::vector<SweepResult>& results,
                    const std::string& output) {
  std::vector<lab::RunRecord> runs;
  for (const SweepResult& result : results) {
    if (result.state != SweepResult::State::finished) continue;
    auto run = lab::read_run(directory.run_path(result.point));
    if (!run) return run.status();
    runs.push_back(*std::move(run));
  }
  if (runs.empty()) return {};
  GRADSTAB_RETURN_IF_ERROR(lab::check_common_data(runs));
  lab::ReportOptions options;
  options.title = fmt::format("Sweep: {}", output);
  const auto page = lab::render_report(runs, options);
  if (!page) return page.status();
  const std::filesystem::path path = std::filesystem::path(output) / "report.html";
  GRADSTAB_RETURN_IF_ERROR(lab::write_file_atomically(path, *page));
  print("report   {}\n", std::filesystem::absolute(path).string());
  return {};
}

int run_sweep_verb(const SweepArguments& arguments) {
  std::vector<lab::SweepAxis> axes;
  for (const std::string& text : arguments.over) {
    auto axis = lab::parse_axis(text);
    if (!axis) return exit_code_for({axis.status().code(), "--over " + axis.status().message()});
    axes.push_back(*std::move(axis));
  }
  const auto points = lab::make_grid(arguments.base, axes);
  if (!points) return exit_code_for(points.status());
  if (!arguments.ignore_limits) {
    const Status fits = lab::check_machine(*points, lab::Machine::here(), arguments.jobs);
    if (!fits.ok()) return exit_code_for(fits);
  }
  if (const Status usable = check_device(arguments.base.device); !usable.ok()) {
    return exit_code_for(
        {usable.code(), fmt::format("--device {}: {}", arguments.base.device, usable.message())});
  }
  const auto directory =
      lab::SweepDirectory::open(arguments.output, lab::describe_sweep(arguments.base, axes));
  if (!directory) return exit_code_for(directory.status());
  if (!directory->warning().empty()) print_warning(directory->warning());
  print("sweep    {} runs, {} at a time -> {}\n", points->size(), arguments.jobs, arguments.output);
  flush_output();

  const auto results = run_with_progress(*directory, *points, arguments.jobs, arguments.ignore_limits);
  if (!results) return exit_code_for(results.status());
  print_table(*results);
  if (interrupted()) {
    print("interrupted; the same command continues\n");
    return kExitInterrupted;
  }
  if (const Status written = write_report(*directory, *results, arguments.output); !written.ok())
    return exit_code_for(written);
  return exit_code_of_runs(*results, arguments.output);
}

}  // namespace

void add_sweep(CLI::App& app, Action& action) {
  CLI::App* sweep = app.add_subcommand(
      "sweep", "train a grid of runs; the same command continues a sweep that was stopped");
  sweep->require_subcommand(1);
  CLI::App* llm = sweep->add_subcommand("llm", "a grid of runs of train llm");
  auto arguments = std::make_shared<SweepArguments>();
  llm->add_option(
         "--over", arguments->over,
         "KEY=VALUE,VALUE,... or KEY=FIRST..LAST: a setting below and its values, separated by commas, "
         "or by semicolons where values contain commas; every combination is a run")
      ->required()
      ->allow_extra_args(false);
  add_path(*llm, "--output", arguments->output, "folder of the sweep")->required();
  add_value(*llm, "--jobs", arguments->jobs, "runs at the same time; they share the cores")
      ->capture_default_str()
      ->check(CLI::Range(1, 1024));
  add_settings(*llm, arguments->base);
  add_ignore_limits(*llm, arguments->ignore_limits);
  llm->footer(
      "\nExample: gradstab sweep llm --over transform=none,clip,stabilize --over lr=0.001,0.003,0.01 --over "
      "seed=0..2 --steps 300 --warmup 20 --output runs/sweep");
  llm->callback([&action, arguments] { action = [arguments] { return run_sweep_verb(*arguments); }; });
}

}  // namespace gradstab::cli
