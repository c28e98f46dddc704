#include "lab/train/gradients.hpp"

namespace gradstab::lab {

void drop_gradients(const torch::nn::Module& model) {
  for (torch::Tensor& parameter : model.parameters()) parameter.mutable_grad().reset();
}

void multiply_gradients(const torch::nn::Module& model, double factor) {
  for (torch::Tensor& parameter : model.parameters())
    if (parameter.grad().defined()) parameter.mutable_grad().mul_(factor);
}

bool unscale_gradients(const torch::nn::Module& model, float inverse_scale) {
  bool found_inf = false;
  for (torch::Tensor& parameter : model.parameters()) {
    if (!parameter.grad().defined()) continue;
    const torch::Tensor gradient = parameter.mutable_grad().mul_(inverse_scale);
    found_inf = found_inf || !torch::isfinite(gradient).all().item<bool>();
  }
  return found_inf;
}

}  // namespace gradstab::lab
