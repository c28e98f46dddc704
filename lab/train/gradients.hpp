// What a trainer does to all gradients of a model between backward and the optimizer.
#pragma once

#include <torch/torch.h>

#include <vector>

namespace gradstab::lab {

/// Dropped rather than zeroed: backward then stores the gradient instead of adding it to zeros.
void drop_gradients(const torch::nn::Module& model);

void multiply_gradients(const torch::nn::Module& model, double factor);

/// The gradients that are there, in the order of the parameters.
std::vector<torch::Tensor> defined_gradients(const torch::nn::Module& model);

/// Multiplies by `inverse_scale`; true (found-inf) if any gradient then holds NaN or Inf. Waits for the
/// device once, however many gradients there are.
bool unscale_gradients(const torch::nn::Module& model, float inverse_scale);

}  // namespace gradstab::lab
