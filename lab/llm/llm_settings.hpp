// The settings of the language-model task. No torch.
#pragma once

#include <concepts>
#include <cstdint>
#include <optional>
#include <string>
#include <type_traits>

#include "gradstab/status.hpp"
#include "lab/llm/llama_config.hpp"
#include "lab/quantize/projection_quantizers.hpp"
#include "lab/train/train_options.hpp"

namespace gradstab::lab {

/// What the LLaMA and its text are, beside what every run has.
struct LlmSettings {
  std::string data = "dict-gcide";
  std::string tokenizer = "bpe";
  int vocab_size = 4096;

  std::string model = "1m";
  std::int64_t layers = 0;
  std::int64_t context = 128;

  std::string fp4_format = "e1m2";
  std::int64_t quantization_group = 256;
  std::string quantization_rounding = "nearest";
  std::string quantization_compat = "robust";

  std::int64_t eval_batches = 16;
  std::int64_t final_eval_batches = 0;
};

/// Calls visit(name, field, help) for each of them, in the order of the help text.
template <class Settings, class Visit>
requires std::same_as<std::remove_const_t<Settings>, LlmSettings>
void visit_settings(Settings& settings, Visit visit) {
  visit("data", settings.data, "corpus: dict-gcide, or a text or JSONL file, plain or gzip");
  visit("tokenizer", settings.tokenizer, "bpe (SentencePiece, trained once and cached) or bytes");
  visit("vocab_size", settings.vocab_size, "vocabulary of the bpe tokenizer");
  visit("model", settings.model,
        "size of the LLaMA: 1m, 9m, 20m, 35m, 40m, 60m, 71m, 100m, 130m, 250m, 350m, 1b, 3b, 7b");
  visit("layers", settings.layers, "decoder blocks of the LLaMA; 0: as many as its size has");
  visit("context", settings.context, "tokens per sequence");
  visit("fp4_format", settings.fp4_format, "fp4: e1m2 (evenly spaced) or e2m1 (of the OCP formats)");
  visit("quantization_group", settings.quantization_group, "fp4, int4: values that share a scale");
  visit("quantization_rounding", settings.quantization_rounding, "fp4, int4: nearest or stochastic");
  visit("quantization_compat", settings.quantization_compat,
        "fp4, int4: robust, or released: as the authors' code rounds (docs/methods.md)");
  visit("eval_batches", settings.eval_batches, "micro-batches per evaluation, except the last one");
  visit("final_eval_batches", settings.final_eval_batches,
        "micro-batches of the last evaluation; 0: all held-out text");
}

/// Those of a run of this task. Throws std::bad_cast for another task's.
const LlmSettings& llm_settings(const TrainOptions& options);
LlmSettings& llm_settings(TrainOptions& options);

/// The LLaMA that `model` and `layers` name; its vocabulary is that of the size. Errors: an unknown size.
Result<LlamaConfig> llama_config(const TrainOptions& options);

/// How the projections' operands are rounded; nothing unless the precision is fp4 or int4.
std::optional<ProjectionQuantizers> projection_quantizers(const TrainOptions& options);

/// Of options whose other settings are valid. Errors name the setting, its value and what was expected.
Status validate_llm(const TrainOptions& options);

}  // namespace gradstab::lab
