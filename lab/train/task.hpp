// Task: what a training run learns. The trainer knows nothing else of it.
#pragma once

#include <torch/torch.h>

#include <cstdint>
#include <memory>
#include <nlohmann/json.hpp>
#include <string_view>

namespace gradstab::lab {

/// Batches, a model and a loss. Everything is a function of the settings and of the micro-batch's index, so
/// that a resumed run sees what the uninterrupted one would have seen.
class Task {
 public:
  virtual ~Task() = default;

  /// "llm"
  virtual std::string_view name() const noexcept = 0;
  virtual torch::nn::Module& model() = 0;

  /// Mean loss over micro-batch `index` (from 0, over the whole run), with a graph to run backward on.
  virtual torch::Tensor training_loss(std::uint64_t index) = 0;

  /// Tokens, images or samples in one micro-batch.
  virtual std::int64_t micro_batch_size() const noexcept = 0;

  /// Mean loss over at most `micro_batches` of the held-out part, in a fixed order; 0: all of it.
  virtual double validation_loss(std::int64_t micro_batches) = 0;

  /// A loss that a model knowing nothing would have; a worse one at the end counts as diverged.
  virtual double uninformed_loss() const noexcept = 0;

  /// For run.json.
  virtual nlohmann::ordered_json describe_model() const = 0;
  virtual nlohmann::ordered_json describe_data() const = 0;
};

}  // namespace gradstab::lab
