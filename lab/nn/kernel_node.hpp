// What autograd nodes over kernels have in common.
#pragma once

#include <torch/torch.h>

namespace gradstab::lab::nn {

/// Calls `body` with a value of the tensor's element type, float or double.
template <class Body>
void with_scalar(const torch::Tensor& tensor, const Body& body) {
  if (tensor.scalar_type() == torch::kFloat) {
    body(float{});
  } else {
    body(double{});
  }
}

/// To be called in backward. Throws c10::Error where that records a graph of its own, for which such a node
/// has no gradients; `what` names it: "the LLaMA kernels".
inline void require_first_derivative(const char* what) {
  TORCH_CHECK(!torch::GradMode::is_enabled(), "there is no second derivative (create_graph) of ", what);
}

}  // namespace gradstab::lab::nn
