// gradstab data
#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <type_traits>
#include <utility>

#include "cli/commands.hpp"
#include "cli/terminal.hpp"
#include "cli/values.hpp"
#include "lab/tasks.hpp"

namespace gradstab::cli {
namespace {

struct DataArguments {
  lab::TrainOptions options;
  std::string text;  ///< what the task's question is about
};

int run_data(const DataArguments& arguments) {
  if (const Status valid = arguments.options.validate(); !valid.ok()) return exit_code_for(valid);
  ProgressLine line;
  const auto report = arguments.options.kind->describe_data(
      arguments.options, arguments.text,
      [&](std::string_view doing, double fraction) { line.show(fraction, std::string(doing)); });
  line.finish();
  if (!report) return exit_code_for(report.status());
  for (const auto& [label, text] : *report) print("{:<11} {}\n", label, text);
  return kExitOk;
}

/// The options of a task's data; the first setting is also the one that needs no name.
void add_options(CLI::App& verb, const lab::TaskKind& kind, Action& action) {
  auto arguments = std::make_shared<DataArguments>();
  arguments->options = lab::default_options(kind);
  const auto settings = kind.data_settings();
  lab::for_each_setting(arguments->options, [&](const char* name, auto& field, const char* help) {
    const auto found = std::ranges::find(settings, name);
    if (found == settings.end()) return;
    const std::string flag = found == settings.begin() ? std::string("source") : lab::flag_of(name);
    if constexpr (!std::is_same_v<std::remove_reference_t<decltype(field)>, bool>)
      add_value(verb, flag, field, help)->capture_default_str();
    else
      verb.add_flag(flag, field, help);
  });
  if (const auto question = kind.data_question())
    verb.add_option(question->flag, arguments->text, question->help);
  verb.footer(fmt::format("\nExample: gradstab data {} {}", kind.name(), kind.data_example()));
  verb.callback([&verb, &action, arguments] {
    if (verb.get_subcommands().empty()) action = [arguments] { return run_data(*arguments); };
  });
}

}  // namespace

void add_data(CLI::App& app, Action& action) {
  CLI::App* data = app.add_subcommand(
      "data", "prepare the data of a task and print their size; without a task, those of the first task");
  bool first = true;
  for (const lab::TaskEntry& entry : lab::all_tasks()) {
    const lab::TaskKind& kind = *entry.kind;
    if (kind.data_settings().empty()) continue;
    // As older versions had it, which knew one task.
    if (std::exchange(first, false)) add_options(*data, kind, action);
    add_options(
        *data->add_subcommand(std::string(kind.name()), fmt::format("the data of train {}", kind.name())),
        kind, action);
  }
}

}  // namespace gradstab::cli
