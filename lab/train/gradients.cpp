#include "lab/train/gradients.hpp"

namespace gradstab::lab {

void drop_gradients(const torch::nn::Module& model) {
  for (torch::Tensor& parameter : model.parameters()) parameter.mutable_grad().reset();
}

std::vector<torch::Tensor> defined_gradients(const torch::nn::Module& model) {
  std::vector<torch::Tensor> gradients;
  for (torch::Tensor& parameter : model.parameters())
    if (parameter.grad().defined()) gradients.push_back(parameter.mutable_grad());
  return gradients;
}

void multiply_gradients(const torch::nn::Module& model, double factor) {
  for (torch::Tensor& gradient : defined_gradients(model)) gradient.mul_(factor);
}

bool unscale_gradients(const torch::nn::Module& model, float inverse_scale) {
  std::vector<torch::Tensor> largest;  // NaN where there is one
  for (torch::Tensor& gradient : defined_gradients(model)) {
    gradient.mul_(inverse_scale);
    if (gradient.numel() > 0) largest.push_back(gradient.abs().max().to(torch::kFloat));
  }
  return !largest.empty() && !torch::isfinite(torch::stack(largest)).all().item<bool>();
}

}  // namespace gradstab::lab
