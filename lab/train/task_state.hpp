// The state of a task in a checkpoint: what the number of the micro-batch and the weights do not determine.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "gradstab/status.hpp"
#include "lab/train/stored_state.hpp"

namespace gradstab::lab {

inline constexpr std::string_view kTaskPrefix = "task/";

/// Takes a task's state, by names of the task's own.
class StateWriter {
 public:
  explicit StateWriter(CheckpointFiller& filler) : filler_(filler) {}

  Status add(const std::string& name, const torch::Tensor& tensor) {
    return filler_.add(std::string(kTaskPrefix) + name, tensor);
  }
  void add_bytes(const std::string& name, std::vector<std::byte> bytes) {
    filler_.add_blob(std::string(kTaskPrefix) + name, std::move(bytes));
  }
  /// Numbers and texts.
  Json& values() { return filler_.header()["task_state"]; }

 private:
  CheckpointFiller& filler_;
};

/// Gives it back. Tensors are filled in after everything in the checkpoint was looked at; a task takes bytes
/// and values at once, and a run whose task refuses them does not begin.
class StateReader {
 public:
  StateReader(const Checkpoint& checkpoint, CheckpointLoader& loader)
      : checkpoint_(checkpoint), loader_(loader), values_(checkpoint.header, "") {}

  /// Promises that the tensor of this name goes into `target`. Errors: there is none, it has another dtype or
  /// shape.
  Status expect(const std::string& name, const torch::Tensor& target) {
    return loader_.expect(std::string(kTaskPrefix) + name, target);
  }
  Result<std::span<const std::byte>> bytes(const std::string& name) const {
    return blob_named(checkpoint_, std::string(kTaskPrefix) + name);
  }
  /// What StateWriter::values held; the reader asks for the status of what it has read.
  JsonReader values() const { return values_["task_state"]; }

 private:
  const Checkpoint& checkpoint_;
  CheckpointLoader& loader_;
  JsonReader values_;
};

}  // namespace gradstab::lab
