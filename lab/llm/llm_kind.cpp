#include "lab/llm/llm_kind.hpp"

#include <fmt/format.h>

#include "lab/llm/data/tokenizer.hpp"
#include "lab/llm/llm_data_report.hpp"
#include "lab/llm/llm_recipes.hpp"
#include "lab/llm/llm_settings.hpp"
#include "lab/llm/llm_time.hpp"

namespace gradstab::lab {
namespace {

/// Numbers per token that a block leaves for backward: what the norms, the projections, attention and the MLP
/// were given (lab/llm/llama.cpp).
double activations_per_token(const LlamaConfig& config) {
  return 8.0 * static_cast<double>(config.hidden) + 3.0 * static_cast<double>(config.intermediate);
}

class LlmKind final : public TaskKind {
 public:
  std::string_view name() const noexcept override { return "llm"; }
  std::string_view summary() const noexcept override { return "pre-train a LLaMA on text"; }
  std::string_view example() const noexcept override { return "--transform stabilize --lr 0.01 --steps 300"; }
  const char* batch_help() const noexcept override { return "sequences per micro-batch"; }

  TaskInfo info() const override {
    TaskInfo info;
    info.name = name();
    info.sample = "tokens";
    info.held_out = "on held-out text";
    info.loss_unit = "nats per token";
    info.metrics = {{.key = "validation_loss",
                     .title = "Validation loss",
                     .noun = "loss",
                     .unit = "nats per token",
                     .better = Better::lower,
                     .digits = 4},
                    {.key = "perplexity",
                     .title = "Perplexity",
                     .noun = "perplexity",
                     .unit = "",
                     .better = Better::lower,
                     .digits = 2,
                     .meaning = "The exponential of the validation loss: among how many equally likely words "
                                "the model is left guessing.",
                     .exp_of_score = true}};
    return info;
  }

  void set_defaults(TrainOptions& options) const override { options.task = TaskSettings(LlmSettings()); }
  std::vector<Recipe> recipes() const override { return llm_recipes(); }
  Status validate(const TrainOptions& options) const override { return validate_llm(options); }

  std::string model_name(const TrainOptions& options) const override {
    const LlmSettings& settings = llm_settings(options);
    return settings.model + (settings.layers > 0 ? fmt::format("-layers{}", settings.layers) : "");
  }
  std::string update_text(const TrainOptions& options) const override {
    const LlmSettings& settings = llm_settings(options);
    return fmt::format("{} x {} tokens, LLaMA {}", options.batch * options.accumulation, settings.context,
                       settings.model);
  }
  ModelSize model_size(const TrainOptions& options) const override {
    const LlmSettings& settings = llm_settings(options);
    LlamaConfig config = llama_config(options).value();
    config.vocab_size = settings.tokenizer == "bytes" ? kByteVocabSize : settings.vocab_size;
    return {static_cast<double>(parameter_count(config)),
            static_cast<double>(options.batch) * static_cast<double>(settings.context) *
                static_cast<double>(config.layers) * activations_per_token(config)};
  }
  std::optional<double> core_seconds(const TrainOptions& options) const override {
    return llm_core_seconds(options);
  }
  std::optional<double> device_seconds(const TrainOptions& options, int jobs) const override {
    return llm_device_seconds(options, jobs);
  }

  std::vector<std::string_view> data_settings() const override { return {"data", "tokenizer", "vocab_size"}; }
  std::string_view data_example() const noexcept override {
    return "book.txt.gz --vocab-size 2000 --encode 'stabilize the norm'";
  }
  std::optional<DataQuestion> data_question() const override {
    return DataQuestion{"--encode", "also print the tokens of this text"};
  }
  Result<DataReport> describe_data(const TrainOptions& options, const std::string& text,
                                   const PreparationProgress& on_progress) const override {
    return llm_data_report(dataset_options(options), text, on_progress);
  }
  std::string_view data_of_the_paper() const noexcept override {
    return "the text that the paper trained on: --data FILE with C4 as JSONL";
  }
};

}  // namespace

const TaskKind& llm_kind() {
  static const LlmKind kind;
  return kind;
}

DatasetOptions dataset_options(const TrainOptions& options) {
  const LlmSettings& settings = llm_settings(options);
  DatasetOptions result;
  result.source = settings.data;
  result.tokenizer = settings.tokenizer == "bytes" ? TokenizerKind::bytes : TokenizerKind::bpe;
  result.vocab_size = settings.vocab_size;
  return result;
}

}  // namespace gradstab::lab
