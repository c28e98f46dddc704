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
#include "lab/tasks.hpp"
#include "lab/train/machine_limits.hpp"
#include "lab/train/run_length.hpp"
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
  return fmt::format("runs/{}-{}-{}{}-lr{:g}-seed{}", options.kind->name(), options.kind->model_name(options),
                     short_name(options), precision, options.lr, options.seed);
}

/// Fills the options of a run to continue from its run.json.
Status load_resumed(TrainArguments& arguments) {
  const auto run = lab::read_run_json(arguments.resume);
  if (!run) return run.status();
  const lab::JsonReader json(*run, "run.json");
  const std::string name = json["name"].text_or("");
  const std::string_view expected = arguments.options.kind->name();
  if (const std::string task = json["task"].text_or(std::string(expected)); task != expected) {
    return {
        StatusCode::invalid_argument,
        fmt::format("'{}' is a run of task {}, not of {}; continue it with: gradstab train {} --resume {}",
                    arguments.resume, task, expected, task, arguments.resume)};
  }
  auto options = lab::train_options_from_json(*arguments.options.kind, json["settings"]);
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

namespace {

/// Taken before the settings, since it stands before them: what is given beside a recipe goes over it.
void add_recipe(CLI::App& verb, lab::TrainOptions& options) {
  std::string help;
  for (const lab::Recipe& recipe : options.kind->recipes())
    help += fmt::format(
        "{}{} ({})", help.empty() ? "many settings at once; settings that are given too override it: " : "; ",
        recipe.name, recipe.summary);
  if (help.empty()) return;
  verb.add_option_function<std::string>(
      "--recipe",
      [&options](const std::string& name) {
        const Status applied = lab::apply_recipe(options, name);
        if (!applied.ok()) throw CLI::ValidationError("--recipe", applied.message());
      },
      help);
}

/// A length that was given overrides that of a recipe in the other unit. Both units at once contradict each
/// other.
void settle_lengths(const CLI::App& verb, lab::TrainOptions& options) {
  for (const std::string& name : lab::setting_names(options)) {
    const std::string_view other = lab::other_length(name);
    if (other.empty() || verb.count(lab::flag_of(name)) == 0) continue;
    if (const auto* option = verb.get_option_no_throw(lab::flag_of(other));
        option != nullptr && option->count() > 0)
      throw CLI::ValidationError(
          lab::flag_of(name),
          fmt::format("cannot be given together with {}, which sets the same length in another unit",
                      lab::flag_of(other)));
    lab::prefer_length(options, name);
  }
}

}  // namespace

void add_settings(CLI::App& verb, lab::TrainOptions& options) {
  add_recipe(verb, options);
  lab::for_each_setting(options, [&](const char* name, auto& field, const char* help) {
    const std::string flag = lab::flag_of(name);
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
      const std::string flag = lab::flag_of(name);
      const std::string help =
          name == shorthand.name
              ? fmt::format("short for {}({}=...) in the transform", shorthand.method, shorthand.setting)
              : fmt::format("older name of {}", lab::flag_of(shorthand.name));
      verb.add_option_function<std::string>(
          flag,
          [given, name = std::string(name)](const std::string& value) { given->emplace_back(name, value); },
          help);
    }
  }
  verb.parse_complete_callback([&verb, &options, given] {
    settle_lengths(verb, options);
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

namespace {

void add_train_task(CLI::App& train, const lab::TaskKind& kind, Action& action, const Train& run) {
  CLI::App* verb = train.add_subcommand(std::string(kind.name()), std::string(kind.summary()));
  auto arguments = std::make_shared<TrainArguments>();
  arguments->options = lab::default_options(kind);
  CLI::Option* resume =
      add_path(*verb, "--resume", arguments->resume, "continue the interrupted run in this folder");
  add_settings(*verb, arguments->options);
  add_path(*verb, "--output", arguments->output,
           fmt::format("folder of the run [runs/{}-MODEL-NAME[-PRECISION]-lrLR-seedSEED]", kind.name()));
  verb->add_option("--name", arguments->name, "name in reports [OPTIMIZER+TRANSFORM]");
  verb->add_flag("--force", arguments->force, "replace an existing run in the output folder");
  CLI::Option* ignore_limits = add_ignore_limits(*verb, arguments->ignore_limits);
  CLI::Option* timeout =
      add_value(*verb, "--process-timeout", arguments->process_timeout,
                "with several processes: seconds until one that does not answer ends the run; above "
                "the time of an evaluation, for which the others wait")
          ->capture_default_str()
          ->check(CLI::Range(1, 1'000'000));
  verb->footer(
      fmt::format("\nExample: gradstab train {} {} --output runs/first", kind.name(), kind.example()));
  verb->callback([&action, arguments, verb, resume, ignore_limits, timeout, run] {
    for (const CLI::Option* option : verb->get_options()) {
      if (resume->count() == 0 || option == resume || option == ignore_limits || option == timeout ||
          option->count() == 0)
        continue;
      throw CLI::ValidationError(
          option->get_name(),
          "cannot be given with --resume: a run goes on with the settings it was started with");
    }
    action = [arguments, run] { return run(*arguments); };
  });
}

}  // namespace

void add_train(CLI::App& app, Action& action, const Train& run) {
  CLI::App* train = app.add_subcommand("train", "train a model and record everything about it");
  train->require_subcommand(1);
  for (const lab::TaskEntry& entry : lab::all_tasks()) add_train_task(*train, *entry.kind, action, run);
}

}  // namespace gradstab::cli
