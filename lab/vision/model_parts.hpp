// What the classifiers are made of.
#pragma once

#include <torch/torch.h>

#include <string>

#include "lab/nn/counter_random.hpp"

namespace gradstab::lab::vision {

/// Handles of a module's parameters, which stay valid: Module::to and optimizers change the data behind them.
struct WeightAndBias {
  torch::Tensor weight, bias;
};

/// Registers a module "name" with "name.weight" and, if there is one, "name.bias". LibTorch's own Linear and
/// Conv2d would first draw weights from the global generator.
WeightAndBias add_parameters(torch::nn::Module& parent, const std::string& name, torch::Tensor weight,
                             torch::Tensor bias = {});

/// A LayerNorm's gain of ones and bias of zeros.
WeightAndBias add_layer_norm(torch::nn::Module& parent, const std::string& name, std::int64_t width);

/// An empty module.
std::shared_ptr<torch::nn::Module> add_group(torch::nn::Module& parent, const std::string& name);

/// Over the last dimension, epsilon 1e-6.
torch::Tensor layer_norm(const torch::Tensor& x, const WeightAndBias& norm);

/// Stochastic depth (Huang et al. 2016, arXiv 1603.09382): the branch [batch, ...] without those of its
/// samples that fall to `rate`, the others divided by 1 - rate. Rate 0 gives the branch itself.
torch::Tensor drop_path(const torch::Tensor& branch, double rate, nn::CounterKey key);

/// The rate of a block where it rises linearly from 0 in the first to `last` in the last of `count`.
constexpr double drop_path_rate(double last, std::int64_t block, std::int64_t count) noexcept {
  return count > 1 ? last * static_cast<double>(block) / static_cast<double>(count - 1) : last;
}

/// Throws c10::Error unless these are [batch, channels, height, width].
void check_pictures(const torch::Tensor& pictures, std::int64_t channels, std::int64_t smallest);

}  // namespace gradstab::lab::vision
