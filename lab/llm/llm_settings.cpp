#include "lab/llm/llm_settings.hpp"

#include <fmt/format.h>

#include <array>
#include <string_view>

#include "lab/train/setting_checks.hpp"

namespace gradstab::lab {
namespace {

constexpr std::array<std::string_view, 2> kTokenizers = {"bpe", "bytes"};
constexpr std::array<std::string_view, 2> kFp4Formats = {"e1m2", "e2m1"};
constexpr std::array<std::string_view, 2> kQuantizationRoundings = {"nearest", "stochastic"};
constexpr std::array<std::string_view, 2> kQuantizationCompats = {"robust", "released"};

}  // namespace

const LlmSettings& llm_settings(const TrainOptions& options) {
  return options.task.as<LlmSettings>();
}

LlmSettings& llm_settings(TrainOptions& options) {
  return options.task.as<LlmSettings>();
}

std::optional<ProjectionQuantizers> projection_quantizers(const TrainOptions& options) {
  const Precision precision = options.number_format();
  if (!quantizes_projections(precision)) return {};
  const LlmSettings& settings = llm_settings(options);
  const bool released = settings.quantization_compat == "released";
  ProjectionQuantizers quantizers;
  if (precision == Precision::int4) {
    quantizers = {QuantizerOptions::int4_weights(), QuantizerOptions::int4_activations()};
  } else if (settings.fp4_format == "e2m1") {
    quantizers = {QuantizerOptions::e2m1(), QuantizerOptions::e2m1()};
  } else {
    const auto fp4 = released ? QuantizerOptions::released_fp4() : QuantizerOptions::e1m2();
    quantizers = {fp4, fp4};
  }
  for (QuantizerOptions* operand : {&quantizers.weights, &quantizers.activations}) {
    operand->group_size = settings.quantization_group;
    operand->seed = options.seed;
    operand->compat = released ? Compat::released : Compat::robust;
    if (settings.quantization_rounding == "stochastic") operand->rounding = QuantizerRounding::stochastic;
  }
  return quantizers;
}

Result<LlamaConfig> llama_config(const TrainOptions& options) {
  const LlmSettings& settings = llm_settings(options);
  auto config = llama_config(settings.model);
  if (config && settings.layers > 0) config->layers = settings.layers;
  return config;
}

Status validate_llm(const TrainOptions& options) {
  const LlmSettings& settings = llm_settings(options);
  GRADSTAB_RETURN_IF_ERROR(one_of("tokenizer", kTokenizers, settings.tokenizer));
  GRADSTAB_RETURN_IF_ERROR(one_of("fp4_format", kFp4Formats, settings.fp4_format));
  GRADSTAB_RETURN_IF_ERROR(
      one_of("quantization_rounding", kQuantizationRoundings, settings.quantization_rounding));
  GRADSTAB_RETURN_IF_ERROR(one_of("quantization_compat", kQuantizationCompats, settings.quantization_compat));
  GRADSTAB_RETURN_IF_ERROR(at_least("quantization_group", 1, settings.quantization_group));
  if (const auto quantizers = projection_quantizers(options)) {
    for (const QuantizerOptions& operand : {quantizers->weights, quantizers->activations}) {
      const Status status = operand.validate();
      if (!status.ok())
        return {status.code(), fmt::format("precision '{}': {}", options.precision, status.message())};
    }
  }
  GRADSTAB_RETURN_IF_ERROR(at_least("vocab_size", 1, settings.vocab_size));
  GRADSTAB_RETURN_IF_ERROR(within("layers", 0, 1'000'000, settings.layers));
  GRADSTAB_RETURN_IF_ERROR(within("context", 1, 1'000'000'000, settings.context));
  GRADSTAB_RETURN_IF_ERROR(at_least("eval_batches", 1, settings.eval_batches));
  GRADSTAB_RETURN_IF_ERROR(at_least("final_eval_batches", 0, settings.final_eval_batches));
  // Its draws are made on the host.
  if (options.on_device() && quantizes_projections(options.number_format()) &&
      settings.quantization_rounding == "stochastic") {
    return invalid_setting("device",
                           "cpu with quantization_rounding 'stochastic', whose draws are made on the host",
                           "'" + options.device + "'");
  }
  const auto config = llama_config(options);
  return config ? Status() : Status(config.status().code(), "model: " + config.status().message());
}

}  // namespace gradstab::lab
