#include "lab/llm/llm_time.hpp"

#include "lab/llm/llm_settings.hpp"

namespace gradstab::lab {
namespace {

// Seen on an H100: four runs of `20m` in bf16 at the same time make 82 updates a second together, 12.2 ms
// each. One alone needs 15.5 ms, in fp16 20.4, in fp4 46.2; what these gain beside others was not seen, and
// none is counted on. How that divides into operations and what does not depend on their number is a guess,
// and no other size was measured.

/// An H100 does 990e12 with tensor cores, and 67e12 in f32 without: the matrices are small.
constexpr double kOperationsPerSecond16Bit = 90e12;
constexpr double kOperationsPerSecondF32 = 30e12;
/// Some two thousand launches of kernels, and what the host does between updates.
constexpr double kSecondsPerUpdate = 0.0055;
/// Four-bit rounding of the operands is some twenty more for each of them.
constexpr double kSecondsOfQuantization = 0.0194;
/// A host that waits, to see whether gradients have overflowed.
constexpr double kSecondsOfLossScaling = 0.0078;
/// Loading LibTorch with its CUDA libraries, the corpus, and the first use of the device.
constexpr double kSecondsToStart = 8.0;

}  // namespace

std::optional<double> llm_core_seconds(const TrainOptions& options) {
  constexpr double kTokensPerSecond = 13900.0;  // of the 1m model on bytes, fp32, one core
  constexpr double kStartSeconds = 1.5;         // loading LibTorch and the corpus
  const LlmSettings& settings = llm_settings(options);
  if (settings.model != "1m" || settings.tokenizer != "bytes") return {};
  const double slower = options.precision == "bf16"   ? 1.13
                        : options.precision == "fp16" ? 1.39
                        : options.precision == "fp32" ? 1.0
                                                      : 1.10;
  const auto batch = static_cast<double>(options.batch * settings.context);
  constexpr double kBlocksOfTheSize = 5.0;
  const double deeper = settings.layers > 0 ? static_cast<double>(settings.layers) / kBlocksOfTheSize : 1.0;
  // An evaluated batch has no backward pass, which is two thirds of an update.
  const std::int64_t evaluations = options.steps / options.eval_every;
  const double evaluated =
      static_cast<double>(evaluations * settings.eval_batches + settings.final_eval_batches) / 3.0;
  const double updates = static_cast<double>(options.steps * options.accumulation) + evaluated;
  return kStartSeconds + slower * deeper * updates * batch / kTokensPerSecond;
}

double llm_device_seconds(const TrainOptions& options, int jobs) {
  const LlmSettings& settings = llm_settings(options);
  const LlamaConfig model = llama_config(options).value();
  const auto context = static_cast<double>(settings.context);
  const auto hidden = static_cast<double>(model.hidden);
  const auto head = static_cast<double>(settings.vocab_size) * hidden;
  // A multiplication and an addition per weight and token; attention has two products of the length of the
  // context.
  const double attention = 2.0 * static_cast<double>(model.layers) * context * hidden;
  const double forward = 2.0 * (static_cast<double>(projection_parameter_count(model)) + head + attention);
  // A backward pass costs two forward passes; the loss computes its logits twice.
  const double update = 3.0 * forward + 2.0 * head;
  const Precision precision = options.number_format();
  const double speed =
      has_16_bit_activations(precision) ? kOperationsPerSecond16Bit : kOperationsPerSecondF32;
  const double tokens = static_cast<double>(options.batch) * context;
  const double fixed = kSecondsPerUpdate + (quantizes_projections(precision) ? kSecondsOfQuantization : 0.0) +
                       (precision == Precision::fp16 ? kSecondsOfLossScaling : 0.0);

  const auto updates = static_cast<double>(options.steps * options.accumulation);
  const std::int64_t evaluations = options.steps / options.eval_every;
  const auto evaluated =
      static_cast<double>(evaluations * settings.eval_batches + settings.final_eval_batches);
  return kSecondsToStart / jobs + updates * (update * tokens / speed + fixed) +
         evaluated * (forward * tokens / speed + fixed / 3.0);
}

}  // namespace gradstab::lab
