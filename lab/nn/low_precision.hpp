// Matrix products as a 16-bit format computes them, on f32 tensors.
//
// LibTorch 1.13 has no float16 products on the CPU, and its autocast would not reach the nodes of
// llama_functions.hpp. So the 16-bit precisions are simulated: wherever torch's autocast would hold a 16-bit
// tensor, the f32 tensor holds values of that format only (nearest, ties to even, overflow to infinity). A
// product of two such values is exact in f32 and sums stay in f32, as in hardware that multiplies 16-bit
// matrices.
#pragma once

#include <torch/torch.h>

#include <vector>

#include "lab/nn/precision.hpp"

namespace gradstab::lab {

/// x, every value rounded to the format; outside autograd. Float tensors on the CPU have a kernel; others
/// make the way through the 16-bit dtype (double ones through float, too). With fp32: x.
torch::Tensor rounded(const torch::Tensor& x, Precision precision);

/// Differentiable: values are rounded, the gradient passes unchanged.
torch::Tensor round_values(const torch::Tensor& x, Precision precision);
/// Differentiable: values pass unchanged, the gradient is rounded.
torch::Tensor round_gradient(const torch::Tensor& x, Precision precision);
/// What a cast to 16 bits does: both.
torch::Tensor cast(const torch::Tensor& x, Precision precision);

/// The nodes behind stacked_linear and linear_cross_entropy of llama_functions.hpp for 16-bit precisions and
/// f32 tensors. Weights and x arrive in f32 and are rounded on the fly, forward and once more backward, so
/// that no graph holds a second copy of the weights. Results and gradients are rounded; losses are not.
torch::Tensor low_precision_linear(const torch::Tensor& x, const std::vector<torch::Tensor>& weights,
                                   Precision precision);
torch::Tensor low_precision_cross_entropy(const torch::Tensor& x, const torch::Tensor& weight,
                                          const torch::Tensor& targets, Precision precision);

}  // namespace gradstab::lab
