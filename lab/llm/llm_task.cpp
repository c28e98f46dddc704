#include "lab/llm/llm_task.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <span>
#include <utility>

#include "lab/llm/data/batch_sampler.hpp"
#include "lab/llm/llama.hpp"
#include "lab/llm/llm_kind.hpp"
#include "lab/llm/llm_settings.hpp"
#include "lab/quantize/quantized_projections.hpp"
#include "lab/train/device.hpp"

namespace gradstab::lab {
namespace {

class LlmTask final : public Task {
 public:
  LlmTask(const TrainOptions& options, const torch::Device& device, const LlamaConfig& config,
          Dataset dataset, BatchSampler training, SequentialSampler validation)
      : info_(llm_kind().info()),
        device_(device),
        settings_(llm_settings(options)),
        dataset_(std::move(dataset)),
        model_(config, options.seed),
        training_(std::move(training)),
        validation_(std::move(validation)),
        tokens_(torch::empty({options.batch, settings_.context + 1}, torch::kInt64)) {
    info_.uninformed = std::log(static_cast<double>(dataset_.vocab_size()));
    model_->to(device_);  // after the draws, so that all devices begin with the same weights
    if (const auto quantizers = projection_quantizers(options)) {
      model_->set_projection_hooks(quantizing_hooks(*quantizers, draws_));
    } else {
      model_->set_precision(options.number_format());
    }
  }

  const TaskInfo& info() const noexcept override { return info_; }
  torch::nn::Module& model() override { return *model_; }

  torch::Tensor training_loss(std::uint64_t index) override {
    training_.batch(index, tokens());
    draws_->begin(index);
    return model_->loss(on_device(tokens_));
  }

  std::int64_t samples(std::uint64_t) const override { return training_.batch_size() * training_.context(); }

  Evaluation evaluate(Extent extent) override {
    return {
        {validation_loss(extent == Extent::quick ? settings_.eval_batches : settings_.final_eval_batches)}};
  }

  std::optional<AttentionHeads> attention_heads() const override {
    return AttentionHeads{model_->config().hidden, model_->config().heads};
  }

  std::string model_text() const override {
    const LlamaConfig& config = model_->config();
    return fmt::format("LLaMA {}: {:.2f} M parameters, {:.2f} M of them outside the embeddings", config.name,
                       static_cast<double>(parameter_count(config)) / 1e6,
                       static_cast<double>(non_embedding_parameter_count(config)) / 1e6);
  }

  nlohmann::ordered_json describe_model() const override {
    const LlamaConfig& config = model_->config();
    return {{"name", config.name},
            {"hidden", config.hidden},
            {"intermediate", config.intermediate},
            {"heads", config.heads},
            {"layers", config.layers},
            {"vocab_size", config.vocab_size},
            {"parameters", parameter_count(config)},
            {"non_embedding_parameters", non_embedding_parameter_count(config)}};
  }

  nlohmann::ordered_json describe_data() const override {
    return {{"source", dataset_.description()},
            {"tokenizer", to_string(dataset_.tokenizer().kind())},
            {"vocab_size", dataset_.vocab_size()},
            {"train_tokens", dataset_.counts(CorpusPart::train).tokens},
            {"validation_tokens", dataset_.counts(CorpusPart::validation).tokens},
            {"sha256", dataset_.sha256()},
            {"validation_bytes_per_token", dataset_.validation_bytes_per_token()}};
  }

 private:
  /// Mean loss over at most so many batches of the held-out part, in a fixed order; 0: all of it.
  double validation_loss(std::int64_t micro_batches) {
    const torch::NoGradGuard no_grad;
    // Summed where the losses are, so that the batches of a device queue up behind each other.
    torch::Tensor sum = torch::zeros({}, torch::TensorOptions(torch::kDouble).device(device_));
    std::int64_t windows = 0;
    const auto all = static_cast<std::int64_t>(validation_.batches());
    const std::int64_t count = micro_batches == 0 ? all : std::min(micro_batches, all);
    for (std::int64_t i = 0; i < count; ++i) {
      const std::int64_t rows = validation_.batch(static_cast<std::uint64_t>(i), tokens());
      draws_->begin(static_cast<std::uint64_t>(i));
      const torch::Tensor loss = model_->loss(on_device(tokens_.slice(0, 0, rows)));
      sum += loss.to(torch::kDouble) * static_cast<double>(rows);
      windows += rows;
    }
    return sum.item<double>() / static_cast<double>(windows);
  }

  /// Without waiting for what the device still does. Ordinary host memory has been read when the call
  /// returns, so that the next batch may overwrite it.
  torch::Tensor on_device(const torch::Tensor& tokens) const {
    return tokens.to(device_, tokens.scalar_type(), /*non_blocking=*/true);
  }
  std::span<std::int64_t> tokens() {
    return {tokens_.data_ptr<std::int64_t>(), static_cast<std::size_t>(tokens_.numel())};
  }

  TaskInfo info_;
  torch::Device device_;
  LlmSettings settings_;
  // Of stochastic rounding. Every forward pass begins its own, so that a resumed run goes on as if never
  // stopped.
  std::shared_ptr<QuantizationDraws> draws_ = std::make_shared<QuantizationDraws>();
  Dataset dataset_;  // owns the memory that the samplers read
  Llama model_;
  BatchSampler training_;
  SequentialSampler validation_;
  torch::Tensor tokens_;  // [batch, context + 1], on the host
};

}  // namespace

Result<std::unique_ptr<Task>> make_llm_task(const TrainOptions& options,
                                            const PreparationProgress& on_progress) {
  const auto device = device_named(options.device);
  if (!device) return device.status();
  auto config = llama_config(options);
  if (!config) return config.status();
  auto dataset = prepare_dataset(dataset_options(options), [&](PrepareStage stage, double fraction) {
    if (on_progress) on_progress(to_string(stage), fraction);
  });
  if (!dataset) return dataset.status();
  config->vocab_size = dataset->vocab_size();
  const std::int64_t context = llm_settings(options).context;
  auto training = BatchSampler::create(dataset->train(), context, options.batch, options.seed);
  if (!training) return training.status();
  auto validation = SequentialSampler::create(dataset->validation(), context, options.batch);
  if (!validation) return validation.status();
  return std::unique_ptr<Task>(std::make_unique<LlmTask>(options, *device, *config, *std::move(dataset),
                                                         *std::move(training), *std::move(validation)));
}

}  // namespace gradstab::lab
