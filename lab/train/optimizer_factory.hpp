// From settings to a stabilized LibTorch optimizer.
#pragma once

#include <torch/torch.h>

#include <functional>
#include <memory>

#include "gradstab/libtorch.hpp"
#include "lab/train/train_options.hpp"

namespace gradstab::lab {

/// An optimizer with the transform in front, and the report of its last step.
struct TrainingOptimizer {
  std::unique_ptr<torch::optim::Optimizer> optimizer;
  std::function<const StepReport&()> report;
  std::function<const ParameterSet&()> parameters;
};

/// The chain of transforms that the settings name. It begins with record_norms, so that gradient spikes are
/// counted with the same yardstick whatever follows.
GradientTransform make_transform(const TrainOptions& options);

/// Throws gradstab::Error on invalid settings.
TrainingOptimizer make_optimizer(const TrainOptions& options, const torch::nn::Module& model);

}  // namespace gradstab::lab
