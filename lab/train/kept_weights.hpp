// Other weights of a model than those that are trained: their running average, and the best so far.
#pragma once

#include <torch/torch.h>

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "gradstab/status.hpp"
#include "lab/train/stored_state.hpp"

namespace gradstab::lab {

/// A copy of all parameters and buffers of a model, which must outlive it and stay as it is made.
class KeptWeights {
 public:
  /// Begins as a copy. `prefix` is that of its tensors in checkpoints.
  KeptWeights(const torch::nn::Module& model, std::string_view prefix);

  /// Copies the model's weights.
  void take();
  /// Moves them towards the model's: w += (1 - decay) (model - w). Buffers, which are statistics of what the
  /// model has seen, and whole numbers are copied.
  void average(double decay);
  /// Makes them the model's.
  void put() const;
  /// Exchanges them with the model's, bit for bit; twice is nothing.
  void exchange();

  Status save(CheckpointFiller& filler) const;
  /// Errors: those of CheckpointLoader::expect.
  Status expect(CheckpointLoader& loader) const;

 private:
  struct Pair {
    std::string name;
    torch::Tensor model, kept;
    bool is_parameter;
  };
  std::string prefix_;
  std::vector<Pair> pairs_;
};

}  // namespace gradstab::lab
