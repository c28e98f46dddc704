// gradstab report DIR...
#include "lab/report/report.hpp"

#include <fmt/format.h>

#include <cmath>
#include <filesystem>
#include <memory>
#include <vector>

#include "cli/commands.hpp"
#include "cli/terminal.hpp"
#include "lab/report/common_data.hpp"
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

std::string figure(double value, int digits) {
  return std::isnan(value) ? std::string("-") : fmt::format("{:.{}f}", value, digits);
}

/// A column for each metric of the task, and what every task has.
void print_table(const std::vector<lab::RunRecord>& runs) {
  const lab::TaskInfo& measures = runs.front().measures;
  const int digits = measures.score().digits;
  std::vector<std::vector<std::string>> rows = {{"run"}};
  for (const lab::Metric& metric : measures.metrics) rows[0].push_back(lab::in_sentence(metric.title));
  for (const char* heading : {"vs first", "spikes", "largest norm", "time"}) rows[0].emplace_back(heading);
  rows[0].push_back(measures.sample_in_words() + "/s");
  rows[0].emplace_back("state");
  const bool comparable = lab::data_that_differ(runs).empty();
  for (const lab::RunRecord& run : runs) {
    lab::RunFigures figures = lab::figures_of(run, runs.front());
    if (!comparable) figures.difference = lab::kNoValue;
    std::vector<std::string>& row = rows.emplace_back();
    row.push_back(run.name);
    for (std::size_t i = 0; i < measures.metrics.size(); ++i) {
      row.push_back(
          figure(i < figures.values.size() ? figures.values[i] : lab::kNoValue, measures.metrics[i].digits));
    }
    row.push_back(std::isnan(figures.difference) ? "-" : fmt::format("{:+.{}f}", figures.difference, digits));
    row.push_back(figure(figures.spikes, 0));
    row.push_back(std::isnan(figures.largest_norm) ? "-" : fmt::format("{:.4g}", figures.largest_norm));
    row.push_back(std::isnan(figures.seconds) ? "-" : format_duration(figures.seconds));
    row.push_back(figure(figures.samples_per_second, 0));
    row.push_back(lab::to_string(figures.state));
  }
  print_columns(rows);
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
