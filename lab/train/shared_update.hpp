// What several processes bring together in one update: losses, gradients, statistics of norms.
#pragma once

#include <torch/torch.h>

#include <cstdint>
#include <vector>

#include "lab/train/processes.hpp"

namespace gradstab::lab {

/// What every process knows after its own micro-batches, and then of all.
struct UpdatePart {
  double loss = 0.0;  ///< sum of the losses that are here, each divided by the number of all micro-batches
  bool stop = false;  ///< it was told to stop after this update
  Status status;      ///< why it cannot go on
};

/// Sums losses and gradients over all processes. A parameter without a gradient here has one afterwards if
/// another process has one. Ends in all processes where one of them cannot go on, with its error.
Result<UpdatePart> brought_together(Processes& processes, const torch::nn::Module& model,
                                    const UpdatePart& here);

/// The running statistics of a model's BatchNorms, as if all micro-batches of an update had been seen here,
/// in their order. A running statistic b becomes (1 - m) b + m x with every micro-batch, for the momentum m.
/// After n of them it is b + sum over i of (1 - m)^(n-1-i) m (x_i - b), so that each process can add up its
/// own terms.
class SharedNormStatistics {
 public:
  explicit SharedNormStatistics(torch::nn::Module& model);

  /// Before the first micro-batch of an update.
  void begin_update();
  /// Around the forward of micro-batch `index` of `count`.
  void begin_micro_batch();
  void end_micro_batch(std::int64_t index, std::int64_t count);
  /// After the last one of `count`, of which some were elsewhere.
  Status end_update(Processes& processes, std::int64_t count);

 private:
  struct Statistic {
    at::Tensor buffer;  // of the model
    double momentum = 0.0;
    at::Tensor before;  // at the begin of the update
    at::Tensor change;  // sum of the terms that are here, double
  };
  std::vector<Statistic> statistics_;
  std::vector<at::Tensor> counts_;     // of the model: micro-batches seen
  std::vector<std::int64_t> counted_;  // at the begin of the update
};

}  // namespace gradstab::lab
