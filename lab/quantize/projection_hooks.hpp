// Where low-bit training enters a model.
#pragma once

#include <torch/torch.h>

#include <functional>

namespace gradstab::lab {

/// What low-bit training changes: both functions are applied in the seven projections of every block (q, k,
/// v, o, gate, up, down) before the product, to the weight [out, in] and to the input [rows, in]. Empty means
/// unchanged. The functions keep shape and dtype and bring their own gradient (a straight-through estimator).
struct ProjectionHooks {
  std::function<torch::Tensor(const torch::Tensor&)> weight, input;
};

}  // namespace gradstab::lab
