// Task: what a training run learns. The trainer knows nothing else of it.
#pragma once

#include <torch/torch.h>

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "lab/train/metric.hpp"
#include "lab/train/task_state.hpp"

namespace gradstab::lab {

/// How much of the held-out data an evaluation goes through.
enum class Extent {
  quick,  ///< as much as is worth its time in the middle of a run
  full,   ///< all of the validation part, or as much as the settings say
  test,   ///< the test part, which is looked at once, after everything has been chosen
};

/// What an evaluation has found.
struct Evaluation {
  std::vector<double> values;  ///< of each metric of TaskInfo that is measured, in their order
  /// What a page can show of it beside numbers (lab/page/exhibits.hpp). Kept of a run's last evaluation.
  Json exhibits = Json::array();
};

/// Parameters with settings of their own, by the names that they have in the model.
struct ParameterGroup {
  std::vector<std::string> parameters;
  double weight_decay_scale = 1.0;  ///< 0: none, as for gains of norms and for biases
  double lr_scale = 1.0;
};

/// What Adam-mini must know of a transformer, whose queries and keys it divides by heads.
struct AttentionHeads {
  std::int64_t width = 0;
  std::int64_t heads = 0;
};

/// Batches, a model and a loss. Everything is a function of the settings and of the micro-batch's index, so
/// that a resumed run sees what the uninterrupted one would have seen. Where its data let it down in the
/// middle of a run, a task throws gradstab::Error, which ends the run.
class Task {
 public:
  virtual ~Task() = default;

  /// Of its kind, with the score of one who knows nothing.
  virtual const TaskInfo& info() const noexcept = 0;
  virtual torch::nn::Module& model() = 0;

  /// Parameters that are in none of them form a group with the run's settings.
  virtual std::vector<ParameterGroup> groups() const { return {}; }

  /// Updates in a pass over the training data, rounded up where micro-batches are accumulated; 0: there are
  /// no passes, as TaskKind::has_epochs says.
  virtual std::int64_t updates_per_epoch() const noexcept { return 0; }

  /// Called for every micro-batch, in their order, before training_loss, and by every process also for the
  /// micro-batches of which another one computes the loss. Here a task acts, where the index says so, if
  /// `save` has what that changes. All processes must come to the same.
  virtual void prepare(std::uint64_t /*index*/) {}

  /// Mean loss over micro-batch `index` (from 0, over the whole run), with a graph to run backward on. The
  /// model is in training mode. Every draw is keyed by the seed and `index`.
  virtual torch::Tensor training_loss(std::uint64_t index) = 0;

  /// Updates after which the work of an update repeats, as where every so many of them a task acts first:
  /// speeds are those of as many updates together.
  virtual std::int64_t updates_per_cycle() const noexcept { return 1; }

  /// Tokens, images or whatever is counted (TaskInfo::sample) in that micro-batch.
  virtual std::int64_t samples(std::uint64_t index) const = 0;

  /// In a fixed order, without randomness, and leaving everything as it was. The model is in evaluation mode.
  virtual Evaluation evaluate(Extent extent) = 0;

  /// Whether there is a part for Extent::test.
  virtual bool has_test_part() const noexcept { return false; }

  /// What the index and the weights do not determine: environments, running statistics outside of the model.
  virtual Status save(StateWriter&) const { return {}; }
  /// What save has written. Errors: it does not fit this task.
  virtual Status load(StateReader&) { return {}; }

  /// Of a transformer.
  virtual std::optional<AttentionHeads> attention_heads() const { return {}; }

  /// What the user should know after the run: data that could not be read and were left out. Empty: nothing.
  virtual std::string warning() const { return {}; }

  /// Of the model, for the terminal: "LLaMA 1m: 2.05 M parameters".
  virtual std::string model_text() const = 0;

  /// For run.json. What describes the data names its "source", and has the "sha256" of what was read; all but
  /// the source must be the same where a run goes on.
  virtual nlohmann::ordered_json describe_model() const = 0;
  virtual nlohmann::ordered_json describe_data() const = 0;
};

}  // namespace gradstab::lab
