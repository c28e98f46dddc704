// Weights and optimizer state: to and from the tensors of a checkpoint, each checked before any is loaded.
#pragma once

#include <torch/torch.h>

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "gradstab/status.hpp"
#include "lab/run/checkpoint.hpp"

namespace gradstab::lab {

/// Makes a checkpoint, and holds the memory that it points into.
class CheckpointFiller {
 public:
  Json& header() noexcept { return checkpoint_.header; }

  /// A copy on the host if `tensor` is elsewhere or not contiguous. Errors: a dtype that checkpoints have no
  /// name for.
  Status add(const std::string& name, const torch::Tensor& tensor);
  void add_blob(const std::string& name, std::vector<std::byte> bytes);

  /// Valid as long as this object, and until the tensors change.
  const Checkpoint& checkpoint() const noexcept { return checkpoint_; }

 private:
  Checkpoint checkpoint_;
  std::vector<torch::Tensor> tensors_;
  std::vector<std::vector<std::byte>> blobs_;
};

/// Copies what a checkpoint holds into tensors that are there, after all of it was checked.
class CheckpointLoader {
 public:
  explicit CheckpointLoader(const Checkpoint& checkpoint) : checkpoint_(checkpoint) {}

  /// Promises that the checkpoint's tensor of this name goes into `target`. Errors: there is none, it has
  /// another dtype or shape.
  Status expect(const std::string& name, const torch::Tensor& target);
  bool has(const std::string& name) const { return checkpoint_.tensors.contains(name); }

  /// That everything with this prefix was expected; the error names what was not.
  Status expect_nothing_else(std::string_view prefix) const;

  /// Overwrites all targets.
  void load() const;

 private:
  const Checkpoint& checkpoint_;
  std::vector<std::pair<const StoredTensor*, torch::Tensor>> targets_;
};

/// Calls visit(name, tensor) for all parameters and buffers.
template <class Visit>
Status for_each_weight(const torch::nn::Module& model, Visit visit) {
  for (const auto& item : model.named_parameters())
    GRADSTAB_RETURN_IF_ERROR(visit(std::string(kWeightPrefix) + item.key(), item.value()));
  for (const auto& item : model.named_buffers())
    GRADSTAB_RETURN_IF_ERROR(visit(std::string(kWeightPrefix) + item.key(), item.value()));
  return {};
}

/// The state bytes under this name. Errors: there are none.
Result<std::span<const std::byte>> blob_named(const Checkpoint& checkpoint, const std::string& name);

}  // namespace gradstab::lab
