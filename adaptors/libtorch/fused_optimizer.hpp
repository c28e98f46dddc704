// What is inside of a FusedOptimizer; BackwardStepper works with the same.
#pragma once

#include <utility>
#include <vector>

#include "aten/tensor_optimizer.hpp"
#include "gradstab/libtorch_fused.hpp"
#include "group_parameters.hpp"

namespace gradstab {

// Behind a pointer that const functions follow: looking at the report or the state may have to fetch it from
// a device, and what is registered follows the groups, to which LibTorch's own functions add at any time.
struct FusedOptimizer::Impl {
  Impl(OptimizerOptions kind, FusedSettings settings)
      : fused(std::move(kind), std::move(settings.transform), std::move(settings.run)) {}

  TensorOptimizer fused;
  GroupParameters parameters;
  std::vector<at::Tensor> gradients;  // of the current step
  StepReport report;
};

}  // namespace gradstab
