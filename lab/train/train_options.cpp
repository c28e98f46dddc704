#include "lab/train/train_options.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <iterator>
#include <limits>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "gradstab/methods.hpp"
#include "lab/support/nearest.hpp"
#include "lab/support/numbers.hpp"
#include "lab/train/injected_spikes.hpp"
#include "lab/train/run_length.hpp"
#include "lab/train/schedule.hpp"
#include "lab/train/setting_checks.hpp"
#include "lab/train/task_kind.hpp"
#include "lab/train/transform_factory.hpp"

namespace gradstab::lab {

SettingTexts joined(SettingTexts first, const SettingTexts& second) {
  first.insert(first.end(), second.begin(), second.end());
  return first;
}

namespace {

/// "cpu", "cuda", "cuda:0" to "cuda:127", the largest number that LibTorch has room for.
bool is_device(std::string_view name) {
  if (name == "cpu" || name == "cuda") return true;
  constexpr std::string_view kPrefix = "cuda:";
  if (!name.starts_with(kPrefix)) return false;
  const std::string digits(name.substr(kPrefix.size()));
  const auto number = parse_number<int>(digits);
  return number && std::to_string(*number) == digits && *number >= 0 && *number <= 127;
}

constexpr std::array<std::string_view, 2> kSelections = {"last", "best"};
constexpr std::array<std::string_view, 2> kOptimizerEngines = {"fused", "libtorch"};

Status check_device(const TrainOptions& options) {
  const std::string quoted = "'" + options.device + "'";
  if (!is_device(options.device))
    return invalid_setting("device", "cpu, cuda or cuda:N, N from 0 to 127", quoted);
  if (options.on_device() && options.kind != nullptr && !options.kind->trains_on_gpu())
    return invalid_setting("device", "cpu for this task", quoted);
  return {};
}

/// A setting of a method as the text of its shorthand; nothing for what can be none.
std::optional<std::string> shorthand_text(const Json& value) {
  if (auto text = as_text(value)) return text;
  if (value.is_number_float()) return setting_text(as_number(value).value());
  if (value.is_number() || value.is_boolean()) return value.dump();
  return {};
}

/// Calls visit(name) for every word, of today or formerly, that older versions and axes of sweeps have beside
/// the transform for a setting of a method.
template <class Visit>
void for_each_shorthand_name(Visit visit) {
  for (const Shorthand& shorthand : shorthands()) {
    for (const std::string_view name : {shorthand.formerly, shorthand.name})
      if (!name.empty()) visit(std::string(name));
  }
}

/// The settings of methods that stand beside the transform. Their names are taken out of `unknown`.
SettingTexts shorthands_in(const JsonReader& settings, std::vector<std::string>& unknown) {
  SettingTexts given;
  for_each_shorthand_name([&](const std::string& name) {
    if (std::erase(unknown, name) == 0) return;
    if (const auto text = shorthand_text(settings.object().at(name))) {
      given.push_back(in_words_of_today(name, *text));
    } else {
      settings[name].refuse("a number, true or false, or a word");
    }
  });
  return given;
}

/// The same, taken out of the settings; what cannot be such a setting stays.
SettingTexts extract_shorthands(Json& settings) {
  SettingTexts given;
  for_each_shorthand_name([&](const std::string& name) {
    const auto found = settings.find(name);
    const auto text = found != settings.end() ? shorthand_text(*found) : std::nullopt;
    if (!text) return;
    given.push_back(in_words_of_today(name, *text));
    settings.erase(name);
  });
  return given;
}

}  // namespace

Status TrainOptions::validate() const {
  GRADSTAB_RETURN_IF_ERROR(one_of("precision", kPrecisionNames, precision));
  if (!(loss_scale_init >= std::numeric_limits<float>::min() &&
        loss_scale_init <= std::numeric_limits<float>::max()))
    return invalid_setting("loss_scale_init", "from 1.2e-38 to 3.4e38, the range of f32", loss_scale_init);
  GRADSTAB_RETURN_IF_ERROR(at_least("loss_scale_growth_interval", 1, loss_scale_growth_interval));
  if (step_in_backward && needs_loss_scaling(number_format()))
    return invalid_setting(
        "precision",
        "fp32 or bf16 with step_in_backward, since loss scaling looks at all gradients before the "
        "first update",
        "'" + precision + "'");
  std::vector<std::string_view> optimizers;
  for (const OptimizerChoice& choice : kOptimizerChoices) optimizers.push_back(choice.name);
  GRADSTAB_RETURN_IF_ERROR(one_of("optimizer", optimizers, optimizer));
  GRADSTAB_RETURN_IF_ERROR(one_of("optimizer_engine", kOptimizerEngines, optimizer_engine));
  if (optimizer_engine == "libtorch") {
    if (!optimizer_choice(optimizer).libtorch_has_it)
      return invalid_setting("optimizer_engine", "fused for this optimizer",
                             "'libtorch' with '" + optimizer + "'");
    if (step_in_backward)
      return invalid_setting("optimizer_engine", "fused for step_in_backward", "'libtorch'");
  }
  if (step_in_backward && !inject_spikes.empty())
    return invalid_setting("inject_spikes", "empty with step_in_backward", "'" + inject_spikes + "'");
  GRADSTAB_RETURN_IF_ERROR(at_least("reset_interval", 0, reset_interval));
  GRADSTAB_RETURN_IF_ERROR(check_transform(transform));
  std::vector<std::string_view> policies = {"default"};
  std::ranges::copy(names_of(NonFinitePolicy{}), std::back_inserter(policies));
  GRADSTAB_RETURN_IF_ERROR(one_of("nonfinite", policies, nonfinite));
  GRADSTAB_RETURN_IF_ERROR(positive("lr", lr));
  GRADSTAB_RETURN_IF_ERROR(not_negative("weight_decay", weight_decay));
  GRADSTAB_RETURN_IF_ERROR(decay("beta1", beta1));
  GRADSTAB_RETURN_IF_ERROR(decay("beta2", beta2));
  GRADSTAB_RETURN_IF_ERROR(positive("adam_epsilon", adam_epsilon));
  if (const auto spikes = parse_injected_spikes(inject_spikes); !spikes) return spikes.status();
  GRADSTAB_RETURN_IF_ERROR(within("steps", 1, 1'000'000'000'000, steps));
  GRADSTAB_RETURN_IF_ERROR(at_least("warmup", 0, warmup));
  GRADSTAB_RETURN_IF_ERROR(within("epochs", 0, 1'000'000'000, epochs));
  GRADSTAB_RETURN_IF_ERROR(within("warmup_epochs", 0, 1'000'000, warmup_epochs));
  if (!(warmup_start >= 0.0 && warmup_start <= 1.0))
    return invalid_setting("warmup_start", "in [0, 1]", warmup_start);
  if (warmup_hold && warmup == 0 && warmup_epochs == 0)
    return invalid_setting("warmup_hold", "false without a warm-up", "true");
  std::vector<std::string_view> schedules;
  for (const ScheduleKind known : kSchedules) schedules.push_back(to_string(known));
  GRADSTAB_RETURN_IF_ERROR(one_of("schedule", schedules, schedule));
  if (counts_epochs(*schedule_named(schedule)) && !has_epochs(*this)) {
    return invalid_setting("schedule", "one that counts updates, since this task has no epochs",
                           "'" + schedule + "'");
  }
  if (!(decay_factor > 0.0 && decay_factor <= 1.0))
    return invalid_setting("decay_factor", "above 0 and at most 1", decay_factor);
  GRADSTAB_RETURN_IF_ERROR(at_least("decay_every", 1, decay_every));
  GRADSTAB_RETURN_IF_ERROR(at_least("decay_from", 0, decay_from));
  if (!(cycle_rise > 0.0 && cycle_rise < 1.0))
    return invalid_setting("cycle_rise", "above 0 and below 1", cycle_rise);
  GRADSTAB_RETURN_IF_ERROR(decay("average_decay", average_decay));
  GRADSTAB_RETURN_IF_ERROR(one_of("select", kSelections, select));
  // In epochs, only the task knows how many updates that are (run_length.hpp).
  if (epochs == 0 && warmup_epochs == 0 && has_warmup(*schedule_named(schedule)) && warmup >= steps)
    return invalid_setting("warmup", fmt::format("below steps ({})", steps), warmup);
  if (!(min_lr_ratio >= 0.0 && min_lr_ratio <= 1.0))
    return invalid_setting("min_lr_ratio", "in [0, 1]", min_lr_ratio);
  GRADSTAB_RETURN_IF_ERROR(within("batch", 1, 1'000'000'000, batch));
  GRADSTAB_RETURN_IF_ERROR(within("accumulation", 1, 1'000'000, accumulation));
  // 0 is an epoch.
  const std::int64_t shortest = has_epochs(*this) ? 0 : 1;
  GRADSTAB_RETURN_IF_ERROR(at_least("eval_every", shortest, eval_every));
  GRADSTAB_RETURN_IF_ERROR(at_least("checkpoint_every", shortest, checkpoint_every));
  GRADSTAB_RETURN_IF_ERROR(within("metrics_every", 1, 1'000'000'000, metrics_every));
  GRADSTAB_RETURN_IF_ERROR(check_device(*this));
  GRADSTAB_RETURN_IF_ERROR(at_least("threads", 0, threads));
  return kind == nullptr ? Status() : kind->validate(*this);
}

const char* batch_help(const TrainOptions& options) noexcept {
  return options.kind == nullptr ? "samples per micro-batch" : options.kind->batch_help();
}

const char* epochs_help(const TrainOptions& options) noexcept {
  return options.kind == nullptr ? "passes over the training data" : options.kind->epochs_help();
}

bool has_epochs(const TrainOptions& options) noexcept {
  return options.kind == nullptr || options.kind->has_epochs();
}

std::vector<std::string> setting_names(const TrainOptions& options) {
  std::vector<std::string> names;
  for_each_setting(options, [&](const char* name, const auto&, const char*) { names.emplace_back(name); });
  return names;
}

std::string nearest_setting(const TrainOptions& options, const std::string& name) {
  std::vector<std::string> known = setting_names(options);
  for_each_shorthand_name([&](std::string shorthand) { known.push_back(std::move(shorthand)); });
  return nearest(name, known);
}

const OptimizerChoice& optimizer_choice(std::string_view name) {
  const auto found = std::ranges::find(kOptimizerChoices, name, &OptimizerChoice::name);
  if (found == std::end(kOptimizerChoices))
    throw Error(Status(StatusCode::invalid_argument, fmt::format("there is no optimizer '{}'", name)));
  return *found;
}

std::string flag_of(std::string_view setting) {
  std::string flag = fmt::format("--{}", setting);
  std::ranges::replace(flag, '_', '-');
  return flag;
}

LossScalerOptions loss_scaler_options(const TrainOptions& options) {
  LossScalerOptions result;
  result.initial_scale = static_cast<float>(options.loss_scale_init);
  result.growth_interval = options.loss_scale_growth_interval;
  return result;
}

Json to_json(const TrainOptions& options) {
  Json settings;
  for_each_setting(options,
                   [&](const char* name, const auto& field, const char*) { settings[name] = field; });
  settings["transform"] = for_keeping(options.transform);
  for (const auto& [name, value] : options.shorthand) settings[name] = value;
  return settings;
}

namespace {

/// `options` begin as the defaults.
Result<TrainOptions> read_over(TrainOptions options, const JsonReader& settings) {
  std::vector<std::string> unknown = settings.keys();
  const auto given = shorthands_in(settings, unknown);
  for_each_setting(options, [&](const char* name, auto& field, const char*) {
    if (std::erase(unknown, name) > 0) settings[name].read(field);
  });
  GRADSTAB_RETURN_IF_ERROR(settings.status());
  if (!unknown.empty())
    return Status(StatusCode::corrupt_data,
                  fmt::format("unknown setting '{}'; was it written by a newer version?", unknown.front()));
  auto transform = with_shorthands(as_older_versions_meant(options.transform), given);
  if (!transform) {
    const Status& status = transform.status();
    return Status(status.code(), "transform: " + status.message());
  }
  options.transform = *std::move(transform);
  GRADSTAB_RETURN_IF_ERROR(options.validate());
  return options;
}

}  // namespace

Result<TrainOptions> train_options_from_json(const TaskKind& kind, const JsonReader& settings) {
  return read_over(default_options(kind), settings);
}

Result<TrainOptions> train_options_from_json(const TaskKind& kind, const Json& settings) {
  return train_options_from_json(kind, JsonReader(settings, ""));
}

Status set_setting(TrainOptions& options, std::string_view name, std::string_view text) {
  Status status(StatusCode::invalid_argument, fmt::format("'{}' is not a setting; did you mean {}?", name,
                                                          nearest_setting(options, std::string(name))));
  for_each_setting(options, [&](const char* known, auto& field, const char*) {
    if (name == known) status = read_value(text, field);
  });
  if (status.ok()) prefer_length(options, name);
  return status;
}

Json in_words_of_today(Json settings) {
  if (!settings.is_object()) return settings;
  for (const auto& [name, value] : extract_shorthands(settings)) {
    if (!is_default(name, value)) settings[name] = value;
  }
  if (const auto transform = as_text(settings.value("transform", Json())))
    settings["transform"] = for_keeping(as_older_versions_meant(*transform));
  return settings;
}

bool are_settings_of(const TrainOptions& options, const Json& settings) {
  auto theirs = read_over(options.kind == nullptr ? TrainOptions() : default_options(*options.kind),
                          JsonReader(settings, ""));
  if (!theirs) return false;
  theirs->threads = options.threads;
  return to_json(*theirs) == to_json(options);
}

}  // namespace gradstab::lab
