// gradstab inspect LOG...
#include <fmt/format.h>

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cli/commands.hpp"
#include "cli/terminal.hpp"
#include "cli/values.hpp"
#include "lab/inspect/analysis.hpp"
#include "lab/inspect/inspect_page.hpp"
#include "lab/inspect/readers/open.hpp"
#include "lab/inspect/steps_file.hpp"
#include "lab/inspect/verdict.hpp"
#include "lab/support/files.hpp"

namespace gradstab::cli {
namespace {

namespace inspect = lab::inspect;

struct InspectArguments {
  std::vector<std::string> logs;
  inspect::ReadOptions reading;
  inspect::InspectSettings settings;
  std::string page;
  std::string json;
  std::string steps;
  bool force = false;
};

/// Words of `text` on lines of at most 100 letters, behind a mark or as deep as it.
void print_wrapped(const std::string& mark, std::string_view text) {
  constexpr std::size_t kWidth = 100;
  std::string line = mark;
  std::size_t words = 0;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find(' '), text.size());
    const std::string_view word = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (words > 0 && line.size() + 1 + word.size() > kWidth) {
      print("{}\n", line);
      line = std::string(mark.size(), ' ');
      words = 0;
    }
    if (words++ > 0) line += ' ';
    line += word;
  }
  print("{}\n", line);
}

void print_inspected(const inspect::Inspected& inspected) {
  print("{}\n", inspected.findings.name);
  print_wrapped("  ", inspected.verdict.headline + ".");
  for (const std::string& reason : inspected.verdict.reasons) print_wrapped("  ", reason);
  for (const inspect::Section& section : inspected.verdict.sections) {
    print("\n  {}\n", section.title);
    for (const std::string& sentence : section.sentences) print_wrapped("    - ", sentence);
  }
}

Result<inspect::Inspected> inspect_trace(const inspect::Trace& trace, const InspectArguments& arguments) {
  std::optional<inspect::StepsFile> steps;
  inspect::EachStep each;
  if (!arguments.steps.empty()) {
    auto file = inspect::StepsFile::create(arguments.steps);
    if (!file) return file.status();
    steps.emplace(*std::move(file));
    each = [&steps](const inspect::TraceRecord& record, double median, std::span<const double> factors) {
      return steps->add(record, median, factors);
    };
  }
  auto findings = inspect::analyse(trace, arguments.settings, each);
  if (!findings) return findings.status();
  if (steps) GRADSTAB_RETURN_IF_ERROR(steps->finish());
  auto verdict = inspect::judge(*findings);
  return inspect::Inspected{*std::move(findings), std::move(verdict)};
}

Status check_outputs(const InspectArguments& arguments) {
  if (!arguments.page.empty())
    GRADSTAB_RETURN_IF_ERROR(check_not_there(arguments.page, "--output", arguments.force));
  if (!arguments.json.empty())
    GRADSTAB_RETURN_IF_ERROR(check_not_there(arguments.json, "--json", arguments.force));
  if (!arguments.steps.empty())
    GRADSTAB_RETURN_IF_ERROR(check_not_there(arguments.steps, "--steps", arguments.force));
  return arguments.settings.validate();
}

Status write_outputs(const InspectArguments& arguments, const std::vector<inspect::Inspected>& inspected) {
  if (!arguments.page.empty()) {
    GRADSTAB_RETURN_IF_ERROR(
        lab::write_file_atomically(arguments.page, inspect::render_inspect_page(inspected)));
    print("\npage     {}\n", std::filesystem::absolute(arguments.page).string());
  }
  if (arguments.json.empty()) return {};
  nlohmann::ordered_json logs = nlohmann::ordered_json::array();
  for (const inspect::Inspected& each : inspected)
    logs.push_back(inspect::to_json(each.findings, each.verdict));
  const nlohmann::ordered_json document = {{"format", 1}, {"logs", std::move(logs)}};
  return lab::write_file_atomically(
      arguments.json, document.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n");
}

int run_inspect(const InspectArguments& arguments) {
  if (const Status status = check_outputs(arguments); !status.ok()) return exit_code_for(status);
  std::vector<inspect::Trace> traces;
  int exit_code = kExitOk;
  // One log that cannot be read keeps nobody from the others.
  for (const std::string& path : arguments.logs) {
    auto opened = inspect::open_traces(path, arguments.reading);
    if (!opened) {
      exit_code = exit_code_for(opened.status());
      continue;
    }
    for (inspect::Trace& trace : *opened) traces.push_back(std::move(trace));
  }
  if (!arguments.steps.empty() && traces.size() > 1) {
    return exit_code_for(
        {StatusCode::invalid_argument, fmt::format("--steps takes one log, got {}", traces.size())});
  }
  std::vector<inspect::Inspected> inspected;
  for (const inspect::Trace& trace : traces) {
    auto one = inspect_trace(trace, arguments);
    if (!one) {
      exit_code = exit_code_for(one.status());
      continue;
    }
    if (!inspected.empty()) print("\n");
    print_inspected(*one);
    inspected.push_back(*std::move(one));
  }
  if (inspected.empty()) return exit_code;
  if (const Status status = write_outputs(arguments, inspected); !status.ok()) return exit_code_for(status);
  return exit_code;
}

}  // namespace

void add_inspect(CLI::App& app, Action& action) {
  CLI::App* verb =
      app.add_subcommand("inspect", "would this have anything to do on that run? Answers from its log");
  auto arguments = std::make_shared<InspectArguments>();
  verb->add_option(
          "logs", arguments->logs,
          "logs, or folders with some: a run of gradstab, a recording of norms (.gsnorms), CSV, JSON "
          "lines, trainer_state.json, TensorBoard event files, .wandb files, text logs")
      ->required();
  verb->add_option("--norm", arguments->reading.columns.norm,
                   "column, key or tag of the gradient norm [found by its name]");
  verb->add_option("--loss", arguments->reading.columns.loss,
                   "that of the training loss [found by its name]");
  verb->add_option("--step", arguments->reading.columns.step, "that of the step [found by its name]");
  verb->add_option(
      "--pattern", arguments->reading.pattern,
      "of the lines of another text log: a regular expression (RE2) with groups named norm, step and loss");
  add_value(*verb, "--gamma1", arguments->settings.gamma1, "decay of the norm's first moment, in [0, 1)")
      ->capture_default_str();
  add_value(*verb, "--gamma2", arguments->settings.gamma2, "decay of the norm's second moment, in [0, 1)")
      ->capture_default_str();
  add_value(*verb, "--robust-kappa", arguments->settings.robust_kappa, "of robust moments, above 1")
      ->capture_default_str();
  add_path(*verb, "--output,-o", arguments->page, "also write a page with charts, the verdict first");
  add_path(*verb, "--json", arguments->json, "also write what was found, for machines");
  add_path(*verb, "--steps", arguments->steps, "also write the factors of every step as CSV; one log");
  verb->add_flag("--force", arguments->force, "replace existing files");
  verb->footer(
      "\nIt never says that something would have helped: a log shows what each method would have made of the "
      "norms, not\n"
      "the loss that would have followed. See docs/inspect.md.\n"
      "\nExample: gradstab inspect lightning_logs/version_0 -o inspected.html");
  verb->callback([&action, arguments] { action = [arguments] { return run_inspect(*arguments); }; });
}

}  // namespace gradstab::cli
