#include "lab/reproduce/device_time.hpp"

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

double seconds_of(const TrainOptions& options, int jobs) {
  const LlamaConfig model = llama_config(options).value();
  const auto context = static_cast<double>(options.context);
  const auto hidden = static_cast<double>(model.hidden);
  const auto head = static_cast<double>(options.vocab_size) * hidden;
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
  const auto evaluated = static_cast<double>(evaluations * options.eval_batches + options.final_eval_batches);
  return kSecondsToStart / jobs + updates * (update * tokens / speed + fixed) +
         evaluated * (forward * tokens / speed + fixed / 3.0);
}

}  // namespace

double estimated_device_seconds(const std::vector<PlannedRun>& runs, int jobs) {
  // Jobs share the device: only their starts are counted as running side by side.
  double seconds = 0.0;
  for (const PlannedRun& run : runs) seconds += seconds_of(run.point.options, jobs);
  return seconds;
}

}  // namespace gradstab::lab
