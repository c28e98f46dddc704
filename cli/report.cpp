// gradstab report DIR...
#include "lab/report/report.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <memory>
#include <vector>

#include "cli/commands.hpp"
#include "cli/terminal.hpp"
#include "lab/report/verdict.hpp"
#include "lab/run/run_record.hpp"
#include "lab/support/files.hpp"

namespace gradstab::cli {
namespace {

struct ReportArguments {
  std::vector<std::string> directories;
  std::string output = "report.html";
  std::string title;
  bool force = false;
};

std::string figure(double value, const char* format) {
  return std::isnan(value) ? std::string("-") : fmt::format(fmt::runtime(format), value);
}

void print_table(const std::vector<lab::RunRecord>& runs) {
  std::size_t width = 3;
  for (const lab::RunRecord& run : runs) width = std::max(width, printable(run.name).size());
  print("{:<{}}  {:>9}  {:>10}  {:>8}  {:>7}  {:>12}  {:>6}  {:>8}  {}\n", "run", width, "val. loss",
        "perplexity", "vs first", "spikes", "largest norm", "time", "tokens/s", "state");
  for (const lab::RunRecord& run : runs) {
    const lab::RunFigures row = lab::figures_of(run, runs.front());
    print("{:<{}}  {:>9}  {:>10}  {:>8}  {:>7}  {:>12}  {:>6}  {:>8}  {}\n", run.name, width,
          figure(row.validation_loss, "{:.4f}"), figure(row.perplexity, "{:.2f}"),
          figure(row.difference, "{:+.4f}"), figure(row.spikes, "{:.0f}"), figure(row.largest_norm, "{:.4g}"),
          std::isnan(row.seconds) ? "-" : format_duration(row.seconds),
          figure(row.tokens_per_second, "{:.0f}"), lab::to_string(row.state));
  }
}

int run_report(const ReportArguments& arguments) {
  if (Status status = check_not_there(arguments.output, "--output", arguments.force); !status.ok())
    return exit_code_for(status);
  std::vector<lab::RunRecord> runs;
  for (const std::string& given : arguments.directories) {
    for (const std::filesystem::path& directory : lab::run_directories(given)) {
      auto run = lab::read_run(directory);
      if (!run) return exit_code_for(run.status());
      runs.push_back(*std::move(run));
    }
  }
  lab::ReportOptions options;
  if (!arguments.title.empty()) options.title = arguments.title;
  const auto page = lab::render_report(runs, options);
  if (!page) return exit_code_for(page.status());
  if (Status status = lab::write_file_atomically(arguments.output, *page); !status.ok())
    return exit_code_for(status);
  print_table(runs);
  print("report   {}\n", std::filesystem::absolute(arguments.output).string());
  return kExitOk;
}

}  // namespace

void add_report(CLI::App& app, Action& action) {
  CLI::App* report =
      app.add_subcommand("report", "compare runs: a table here, and one self-contained HTML page");
  auto arguments = std::make_shared<ReportArguments>();
  report
      ->add_option("runs", arguments->directories,
                   "run folders, or folders that contain some, such as a sweep's, in the order of the table")
      ->required();
  add_path(*report, "--output,-o", arguments->output, "the page to write")->capture_default_str();
  report->add_option("--title", arguments->title, "heading of the page");
  report->add_flag("--force", arguments->force, "replace an existing page");
  report->footer("\nExample: gradstab report runs/* -o report.html");
  report->callback([&action, arguments] { action = [arguments] { return run_report(*arguments); }; });
}

}  // namespace gradstab::cli
