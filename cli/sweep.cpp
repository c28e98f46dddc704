// gradstab sweep
#include "lab/sweep/sweep.hpp"

#include <fmt/format.h>

#include <filesystem>
#include <memory>

#include "cli/commands.hpp"
#include "cli/interrupt.hpp"
#include "cli/run_sweep.hpp"
#include "cli/terminal.hpp"
#include "cli/training_program.hpp"
#include "cli/values.hpp"
#include "lab/report/common_data.hpp"
#include "lab/report/report.hpp"
#include "lab/support/files.hpp"
#include "lab/tasks.hpp"

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
  const lab::Metric metric = results.front().point.options.kind->info().score();
  std::vector<std::vector<std::string>> rows = {{"run", lab::in_sentence(metric.title), "spikes", "state"}};
  for (const SweepResult& result : results) {
    const auto figure = [&](const std::string& key, int digits) {
      const bool there = result.summary.is_object() && result.summary.contains(key);
      const auto value = there ? lab::as_number(result.summary[key]) : std::nullopt;
      return value ? fmt::format("{:.{}f}", *value, digits) : std::string("-");
    };
    rows.push_back({result.point.name, figure("final_" + metric.key, metric.digits), figure("spikes", 0),
                    outcome_of(result)});
  }
  print_columns(rows);
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
    auto axis = lab::parse_axis(arguments.base, text);
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
  for (const lab::TaskEntry& entry : lab::all_tasks()) {
    const std::string task(entry.kind->name());
    CLI::App* verb = sweep->add_subcommand(task, "a grid of runs of train " + task);
    auto arguments = std::make_shared<SweepArguments>();
    arguments->base = lab::default_options(*entry.kind);
    verb->add_option(
            "--over", arguments->over,
            "KEY=VALUE,VALUE,... or KEY=FIRST..LAST: a setting below and its values, separated by commas, "
            "or by semicolons where values contain commas; every combination is a run")
        ->required()
        ->allow_extra_args(false);
    add_path(*verb, "--output", arguments->output, "folder of the sweep")->required();
    add_value(*verb, "--jobs", arguments->jobs, "runs at the same time; they share the cores")
        ->capture_default_str()
        ->check(CLI::Range(1, 1024));
    add_settings(*verb, arguments->base);
    add_ignore_limits(*verb, arguments->ignore_limits);
    verb->footer(
        fmt::format("\nExample: gradstab sweep {} --over transform=none,clip,stabilize --over "
                    "lr=0.001,0.003,0.01 --over seed=0..2 --steps 300 --warmup 20 --output runs/sweep",
                    task));
    verb->callback([&action, arguments] { action = [arguments] { return run_sweep_verb(*arguments); }; });
  }
}

}  // namespace gradstab::cli
