#include "cli/train_arguments.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <type_traits>
#include <utility>
#include <vector>

#include "cli/commands.hpp"
#include "cli/values.hpp"
#include "gradstab/methods.hpp"
#include "lab/run/run_directory.hpp"
#include "lab/train/machine_limits.hpp"
#include "lab/train/transform_factory.hpp"

namespace gradstab::cli {
namespace {

std::string default_name(const lab::TrainOptions& options) {
  return options.transform == "none" ? options.optimizer : options.optimizer + "+" + options.transform;
}

/// Without settings, which hold characters that no folder should.
std::string short_name(const lab::TrainOptions& options) {
  std::string name = options.optimizer;
  if (options.transform == "none") return name;
  const auto links = parse_transform(options.transform);
  for (const MethodText& link : links.value()) name += "+" + link.method;
  return name;
}

std::string default_output(const lab::TrainOptions& options) {
  const std::string precision =
      options.number_format() == lab::Precision::fp32 ? "" : "-" + options.precision;
  const std::string depth = options.layers > 0 ? fmt::format("-layers{}", options.layers) : "";
  return fmt::format("runs/llm-{}{}-{}{}-lr{:g}-seed{}", options.model, depth, short_name(options), precision,
                     options.lr, options.seed);
}

/// Fills the options of a run to continue from its run.json.
Status load_resumed(TrainArguments& arguments) {
  const auto run = lab::read_run_json(arguments.resume);
  if (!run) return run.status();
  const lab::JsonReader json(*run, "run.json");
  const std::string name = json["name"].text_or("");
  auto options = lab::train_options_from_json(json["settings"]);
  if (!options) {
    return {options.status().code(), fmt::format("'{}': {}", arguments.resume, options.status().message())};
  }
  arguments.options = *options;
  arguments.output = arguments.resume;
  arguments.name = name;
  return {};
}

/// The transform with its shorthands. Of several settings in one text an error names one, and the text is
/// where that stands.
Result<std::string> whole_transform(const std::string& transform,
                                    const std::vector<std::pair<std::string, std::string>>& given) {
  auto whole = lab::with_shorthands(transform, given);
  if (whole || transform.find('(') == std::string::npos) return whole;
  return Status(whole.status().code(), fmt::format("{} (in '{}')", whole.status().message(), transform));
}

}  // namespace

Status complete(TrainArguments& arguments) {
  if (!arguments.resume.empty()) GRADSTAB_RETURN_IF_ERROR(load_resumed(arguments));
  lab::TrainOptions& options = arguments.options;
  auto transform = whole_transform(options.transform, std::exchange(options.shorthand, {}));
  if (!transform) return transform.status();
  options.transform = *std::move(transform);
  GRADSTAB_RETURN_IF_ERROR(arguments.options.validate());
  if (!arguments.ignore_limits)
    GRADSTAB_RETURN_IF_ERROR(lab::check_machine(arguments.options, lab::Machine::here()));
  if (arguments.name.empty()) arguments.name = default_name(arguments.options);
  if (arguments.output.empty()) arguments.output = default_output(arguments.options);
  return {};
}

void add_settings(CLI::App& verb, lab::TrainOptions& options) {
  lab::for_each_setting(options, [&](const char* name, auto& field, const char* help) {
    std::string flag = std::string("--") + name;
    std::ranges::replace(flag, '_', '-');
    if constexpr (std::is_same_v<std::remove_reference_t<decltype(field)>, bool>) {
      verb.add_flag(flag, field, help);
    } else {
      add_value(verb, flag, field, help)->capture_default_str();
    }
  });
  using Given = std::vector<std::pair<std::string, std::string>>;
  auto given = std::make_shared<Given>();
  for (const lab::Shorthand& shorthand : lab::shorthands()) {
    for (const std::string_view name : {shorthand.name, shorthand.formerly}) {
      if (name.empty()) continue;
      std::string flag = fmt::format("--{}", name);
      std::ranges::replace(flag, '_', '-');
      const std::string help = name == shorthand.name ? fmt::format("short for {}({}=...) in the transform",
                                                                    shorthand.method, shorthand.setting)
                                                      : fmt::format("older name of --{}", shorthand.name);
      verb.add_option_function<std::string>(
          flag,
          [given, name = std::string(name)](const std::string& value) { given->emplace_back(name, value); },
          help);
    }
  }
  verb.parse_complete_callback([&options, given] {
    const auto transform = whole_transform(options.transform, *given);
    if (!transform) throw Error(transform.status());
    for (const auto& [name, value] : *given) options.shorthand.push_back(lab::in_words_of_today(name, value));
  });
}

CLI::Option* add_ignore_limits(CLI::App& verb, bool& ignore_limits) {
  return verb.add_flag(
      "--ignore-limits", ignore_limits,
      "start even if the run needs more memory, or many more threads, than this machine has");
}

void add_train(CLI::App& app, Action& action, Train run) {
  CLI::App* train = app.add_subcommand("train", "train a model and record everything about it");
  train->require_subcommand(1);
  CLI::App* llm = train->add_subcommand("llm", "pre-train a LLaMA on text");
  auto arguments = std::make_shared<TrainArguments>();
  CLI::Option* resume =
      add_path(*llm, "--resume", arguments->resume, "continue the interrupted run in this folder");
  add_settings(*llm, arguments->options);
  add_path(*llm, "--output", arguments->output,
           "folder of the run [runs/llm-MODEL-NAME[-PRECISION]-lrLR-seedSEED]");
  llm->add_option("--name", arguments->name, "name in reports [OPTIMIZER+TRANSFORM]");
  llm->add_flag("--force", arguments->force, "replace an existing run in the output folder");
  CLI::Option* ignore_limits = add_ignore_limits(*llm, arguments->ignore_limits);
  llm->footer(
      "\nExample: gradstab train llm --transform stabilize --lr 0.01 --steps 300 --output runs/first");
  llm->callback([&action, arguments, llm, resume, ignore_limits, run = std::move(run)] {
    for (const CLI::Option* option : llm->get_options()) {
      if (resume->count() == 0 || option == resume || option == ignore_limits || option->count() == 0)
        continue;
      throw CLI::ValidationError(
          option->get_name(),
          "cannot be given with --resume: a run goes on with the settings it was started with");
    }
    action = [arguments, run] { return run(*arguments); };
  });
}

}  // namespace gradstab::cli
