// What a trainer does to all gradients of a model between backward and the optimizer.
#pragma once

#include <torch/torch.h>

namespace gradstab::lab {

/// Dropped rather than zeroed: backward then stores the gradient instead of adding it to zeros.
void drop_gradients(const torch::nn::Module& model);

void multiply_gradients(const torch::nn::Module& model, double factor);

/// Multiplies by `inverse_scale`; true (found-inf) if any gradient then holds NaN or Inf.
bool unscale_gradients(const torch::nn::Module& model, float inverse_scale);

}  // namespace gradstab::lab
