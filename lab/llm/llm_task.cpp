#include "lab/llm/llm_task.hpp"

#include <cmath>
#include <utility>

#include "lab/llm/data/batch_sampler.hpp"
#include "lab/llm/llama.hpp"
#include "lab/quantize/quantized_projections.hpp"
#include "lab/train/device.hpp"

namespace gradstab::lab {
namespace {

class LlmTask final : public Task {
 public:
  LlmTask(const TrainOptions& options, const torch::Device& device, const LlamaConfig& config,
          Dataset dataset, BatchSampler training, SequentialSampler validation)
      : device_(device),
        dataset_(std::move(dataset)),
        model_(config, options.seed),
        training_(std::move(training)),
        validation_(std::move(validation)),
        tokens_(torch::empty({options.batch, options.context + 1}, torch::kInt64)) {
    model_->to(device_);  // after the draws, so that all devices begin with the same weights
    if (const auto quantizers = projection_quantizers(options)) {
      model_->set_projection_hooks(quantizing_hooks(*quantizers, draws_));
    } else {
      model_->set_precision(options.number_format());
    }
  }

  std::string_view name() const noexcept override { return "llm"; }
  torch::nn::Module& model() override { return *model_; }

  torch::Tensor training_loss(std::uint64_t index) override {
    training_.batch(index, tokens());
    draws_->begin(index);
    return model_->loss(on_device(tokens_));
  }

  std::int64_t micro_batch_size() const noexcept override {
    return training_.batch_size() * training_.context();
  }

  double validation_loss(std::int64_t micro_batches) override {
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

  double uninformed_loss() const noexcept override {
    return std::log(static_cast<double>(dataset_.vocab_size()));
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
  /// Without waiting for what the device still does. Ordinary host memory has been read when the call
  /// returns, so that the next batch may overwrite it.
  torch::Tensor on_device(const torch::Tensor& tokens) const {
    return tokens.to(device_, tokens.scalar_type(), /*non_blocking=*/true);
  }
  std::span<std::int64_t> tokens() {
    return {tokens_.data_ptr<std::int64_t>(), static_cast<std::size_t>(tokens_.numel())};
  }

  torch::Device device_;
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

DatasetOptions dataset_options(const TrainOptions& options) {
  DatasetOptions result;
  result.source = options.data;
  result.tokenizer = options.tokenizer == "bytes" ? TokenizerKind::bytes : TokenizerKind::bpe;
  result.vocab_size = options.vocab_size;
  return result;
}

Result<std::unique_ptr<Task>> make_llm_task(const TrainOptions& options, Dataset dataset) {
  const auto device = device_named(options.device);
  if (!device) return device.status();
  auto config = llama_config(options);
  if (!config) return config.status();
  config->vocab_size = dataset.vocab_size();
  auto training = BatchSampler::create(dataset.train(), options.context, options.batch, options.seed);
  if (!training) return training.status();
  auto validation = SequentialSampler::create(dataset.validation(), options.context, options.batch);
  if (!validation) return validation.status();
  return std::unique_ptr<Task>(std::make_unique<LlmTask>(options, *device, *config, std::move(dataset),
                                                         *std::move(training), *std::move(validation)));
}

}  // namespace gradstab::lab
