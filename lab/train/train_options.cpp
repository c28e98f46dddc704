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
#include "lab/support/numbers.hpp"
#include "lab/train/injected_spikes.hpp"
#include "lab/train/transform_factory.hpp"

namespace gradstab::lab {
namespace {

Status invalid(std::string_view name, std::string_view expected, const auto& value) {
  return {StatusCode::invalid_argument, fmt::format("{} must be {}, got {}", name, expected, value)};
}

Status one_of(std::string_view name, std::span<const std::string_view> known, const std::string& value) {
  for (const std::string_view candidate : known) {
    if (value == candidate) return {};
  }
  return invalid(name, fmt::format("one of {}", fmt::join(known, ", ")), "'" + value + "'");
}

Status at_least(std::string_view name, std::int64_t minimum, std::int64_t value) {
  if (value >= minimum) return {};
  return invalid(name, fmt::format("at least {}", minimum), value);
}

/// Sizes far beyond any use, so that products of them fit 64 bits.
Status within(std::string_view name, std::int64_t minimum, std::int64_t maximum, std::int64_t value) {
  GRADSTAB_RETURN_IF_ERROR(at_least(name, minimum, value));
  return value <= maximum ? Status() : invalid(name, fmt::format("at most {}", maximum), value);
}

Status decay(std::string_view name, double value) {
  return value >= 0.0 && value < 1.0 ? Status() : invalid(name, "in [0, 1)", value);
}

Status positive(std::string_view name, double value) {
  return value > 0.0 && std::isfinite(value) ? Status() : invalid(name, "finite and above 0", value);
}

Status not_negative(std::string_view name, double value) {
  return value >= 0.0 && std::isfinite(value) ? Status() : invalid(name, "finite and at least 0", value);
}

/// "cpu", "cuda", "cuda:0" to "cuda:127", the largest number that LibTorch has room for.
bool is_device(std::string_view name) {
  if (name == "cpu" || name == "cuda") return true;
  constexpr std::string_view kPrefix = "cuda:";
  if (!name.starts_with(kPrefix)) return false;
  const std::string digits(name.substr(kPrefix.size()));
  const auto number = parse_number<int>(digits);
  return number && std::to_string(*number) == digits && *number >= 0 && *number <= 127;
}

constexpr std::array<std::string_view, 2> kTokenizers = {"bpe", "bytes"};
constexpr std::array<std::string_view, 7> kOptimizers = {"adamw",     "adam", "sgd",        "lion",
                                                         "adam_mini", "spam", "stable_spam"};
constexpr std::array<std::string_view, 2> kOptimizerEngines = {"fused", "libtorch"};
constexpr std::array<std::string_view, 2> kFp4Formats = {"e1m2", "e2m1"};
constexpr std::array<std::string_view, 2> kQuantizationRoundings = {"nearest", "stochastic"};
constexpr std::array<std::string_view, 2> kQuantizationCompats = {"robust", "released"};

/// The device, and what only the CPU can do.
Status check_device(const TrainOptions& options) {
  const std::string quoted = "'" + options.device + "'";
  if (!is_device(options.device)) return invalid("device", "cpu, cuda or cuda:N, N from 0 to 127", quoted);
  if (!options.on_device()) return {};
  if (quantizes_projections(options.number_format()) && options.quantization_rounding == "stochastic")
    return invalid("device", "cpu with quantization_rounding 'stochastic', whose draws are made on the host",
                   quoted);
  return {};
}

using Shorthands = std::vector<std::pair<std::string, std::string>>;

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
Shorthands shorthands_in(const JsonReader& settings, std::vector<std::string>& unknown) {
  Shorthands given;
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
Shorthands take_shorthands(Json& settings) {
  Shorthands given;
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
  GRADSTAB_RETURN_IF_ERROR(one_of("tokenizer", kTokenizers, tokenizer));
  GRADSTAB_RETURN_IF_ERROR(one_of("precision", kPrecisionNames, precision));
  if (!(loss_scale_init >= std::numeric_limits<float>::min() &&
        loss_scale_init <= std::numeric_limits<float>::max()))
    return invalid("loss_scale_init", "from 1.2e-38 to 3.4e38, the range of f32", loss_scale_init);
  GRADSTAB_RETURN_IF_ERROR(at_least("loss_scale_growth_interval", 1, loss_scale_growth_interval));
  GRADSTAB_RETURN_IF_ERROR(one_of("fp4_format", kFp4Formats, fp4_format));
  GRADSTAB_RETURN_IF_ERROR(one_of("quantization_rounding", kQuantizationRoundings, quantization_rounding));
  GRADSTAB_RETURN_IF_ERROR(one_of("quantization_compat", kQuantizationCompats, quantization_compat));
  GRADSTAB_RETURN_IF_ERROR(at_least("quantization_group", 1, quantization_group));
  if (const auto quantizers = projection_quantizers(*this)) {
    for (const QuantizerOptions& options : {quantizers->weights, quantizers->activations}) {
      const Status status = options.validate();
      if (!status.ok())
        return {status.code(), fmt::format("precision '{}': {}", precision, status.message())};
    }
  }
  if (step_in_backward && needs_loss_scaling(number_format()))
    return invalid("precision",
                   "fp32 or bf16 with step_in_backward, since loss scaling looks at all gradients before the "
                   "first update",
                   "'" + precision + "'");
  GRADSTAB_RETURN_IF_ERROR(one_of("optimizer", kOptimizers, optimizer));
  GRADSTAB_RETURN_IF_ERROR(one_of("optimizer_engine", kOptimizerEngines, optimizer_engine));
  if (optimizer_engine == "libtorch") {
    if (optimizer != "adamw" && optimizer != "adam" && optimizer != "sgd")
      return invalid("optimizer_engine", "fused for this optimizer", "'libtorch' with '" + optimizer + "'");
    if (step_in_backward) return invalid("optimizer_engine", "fused for step_in_backward", "'libtorch'");
  }
  if (step_in_backward && !inject_spikes.empty())
    return invalid("inject_spikes", "empty with step_in_backward", "'" + inject_spikes + "'");
  GRADSTAB_RETURN_IF_ERROR(at_least("reset_interval", 0, reset_interval));
  GRADSTAB_RETURN_IF_ERROR(check_transform(transform));
  std::vector<std::string_view> policies = {"default"};
  std::ranges::copy(names_of(NonFinitePolicy{}), std::back_inserter(policies));
  GRADSTAB_RETURN_IF_ERROR(one_of("nonfinite", policies, nonfinite));
  GRADSTAB_RETURN_IF_ERROR(at_least("vocab_size", 1, vocab_size));
  GRADSTAB_RETURN_IF_ERROR(within("layers", 0, 1'000'000, layers));
  GRADSTAB_RETURN_IF_ERROR(within("context", 1, 1'000'000'000, context));
  GRADSTAB_RETURN_IF_ERROR(positive("lr", lr));
  GRADSTAB_RETURN_IF_ERROR(not_negative("weight_decay", weight_decay));
  GRADSTAB_RETURN_IF_ERROR(decay("beta1", beta1));
  GRADSTAB_RETURN_IF_ERROR(decay("beta2", beta2));
  GRADSTAB_RETURN_IF_ERROR(positive("adam_epsilon", adam_epsilon));
  if (const auto spikes = parse_injected_spikes(inject_spikes); !spikes) return spikes.status();
  GRADSTAB_RETURN_IF_ERROR(within("steps", 1, 1'000'000'000'000, steps));
  GRADSTAB_RETURN_IF_ERROR(at_least("warmup", 0, warmup));
  if (warmup >= steps) return invalid("warmup", fmt::format("below steps ({})", steps), warmup);
  if (!(min_lr_ratio >= 0.0 && min_lr_ratio <= 1.0))
    return invalid("min_lr_ratio", "in [0, 1]", min_lr_ratio);
  GRADSTAB_RETURN_IF_ERROR(within("batch", 1, 1'000'000'000, batch));
  GRADSTAB_RETURN_IF_ERROR(within("accumulation", 1, 1'000'000, accumulation));
  GRADSTAB_RETURN_IF_ERROR(at_least("eval_every", 1, eval_every));
  GRADSTAB_RETURN_IF_ERROR(at_least("eval_batches", 1, eval_batches));
  GRADSTAB_RETURN_IF_ERROR(at_least("final_eval_batches", 0, final_eval_batches));
  GRADSTAB_RETURN_IF_ERROR(at_least("checkpoint_every", 1, checkpoint_every));
  GRADSTAB_RETURN_IF_ERROR(check_device(*this));
  return at_least("threads", 0, threads);
}

std::optional<ProjectionQuantizers> projection_quantizers(const TrainOptions& options) {
  const Precision precision = options.number_format();
  if (!quantizes_projections(precision)) return {};
  const bool released = options.quantization_compat == "released";
  ProjectionQuantizers quantizers;
  if (precision == Precision::int4) {
    quantizers = {QuantizerOptions::int4_weights(), QuantizerOptions::int4_activations()};
  } else if (options.fp4_format == "e2m1") {
    quantizers = {QuantizerOptions::e2m1(), QuantizerOptions::e2m1()};
  } else {
    const auto fp4 = released ? QuantizerOptions::released_fp4() : QuantizerOptions::e1m2();
    quantizers = {fp4, fp4};
  }
  for (QuantizerOptions* operand : {&quantizers.weights, &quantizers.activations}) {
    operand->group_size = options.quantization_group;
    operand->seed = options.seed;
    operand->compat = released ? Compat::released : Compat::robust;
    if (options.quantization_rounding == "stochastic") operand->rounding = QuantizerRounding::stochastic;
  }
  return quantizers;
}

Result<LlamaConfig> llama_config(const TrainOptions& options) {
  auto config = llama_config(options.model);
  if (config && options.layers > 0) config->layers = options.layers;
  return config;
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

Result<TrainOptions> train_options_from_json(const JsonReader& settings) {
  TrainOptions options;
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

Result<TrainOptions> train_options_from_json(const Json& settings) {
  return train_options_from_json(JsonReader(settings, ""));
}

Status set_setting(TrainOptions& options, std::string_view name, std::string_view text) {
  Status status(StatusCode::invalid_argument, fmt::format("'{}' is not a setting", name));
  for_each_setting(options, [&](const char* known, auto& field, const char*) {
    if (name == known) status = read_value(text, field);
  });
  return status;
}

Json in_words_of_today(Json settings) {
  if (!settings.is_object()) return settings;
  for (const auto& [name, value] : take_shorthands(settings)) {
    if (!is_default(name, value)) settings[name] = value;
  }
  if (const auto transform = as_text(settings.value("transform", Json())))
    settings["transform"] = for_keeping(as_older_versions_meant(*transform));
  return settings;
}

bool are_settings_of(const TrainOptions& options, const Json& settings) {
  auto theirs = train_options_from_json(settings);
  if (!theirs) return false;
  theirs->threads = options.threads;
  return to_json(*theirs) == to_json(options);
}

}  // namespace gradstab::lab
