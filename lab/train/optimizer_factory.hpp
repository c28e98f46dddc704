// From settings to a stabilized optimizer.
#pragma once

#include <torch/torch.h>

#include <memory>

#include "gradstab/libtorch.hpp"
#include "lab/train/train_options.hpp"

namespace gradstab::lab {

/// An optimizer with the transform in front, and the report of its last step.
class TrainingOptimizer {
 public:
  virtual ~TrainingOptimizer() = default;

  /// For learning rates and checkpoints.
  virtual torch::optim::Optimizer& optimizer() = 0;

  /// Before the backward of a micro-batch; `last` is the one after which the parameters are updated.
  virtual void before_backward(bool last) = 0;

  /// After the last backward. Throws gradstab::Error.
  virtual void step() = 0;

  virtual const StepReport& report() const = 0;
  virtual const ParameterSet& parameters() const = 0;
};

/// Throws gradstab::Error on invalid settings.
std::unique_ptr<TrainingOptimizer> make_optimizer(const TrainOptions& options,
                                                  const torch::nn::Module& model);

}  // namespace gradstab::lab
