#include "lab/vision/model_parts.hpp"

#include <memory>
#include <utility>

#include "lab/nn/dropout.hpp"

namespace gradstab::lab::vision {
namespace {

constexpr double kLayerNormEpsilon = 1e-6;

struct Parameters : torch::nn::Module {
  Parameters(torch::Tensor weight, torch::Tensor bias) {
    register_parameter("weight", std::move(weight));
    if (bias.defined()) register_parameter("bias", std::move(bias));
  }
};

}  // namespace

WeightAndBias add_parameters(torch::nn::Module& parent, const std::string& name, torch::Tensor weight,
                             torch::Tensor bias) {
  const bool has_bias = bias.defined();
  const auto module = std::make_shared<Parameters>(std::move(weight), std::move(bias));
  const auto parameters = parent.register_module(name, module)->named_parameters();
  return {parameters["weight"], has_bias ? parameters["bias"] : torch::Tensor()};
}

WeightAndBias add_layer_norm(torch::nn::Module& parent, const std::string& name, std::int64_t width) {
  return add_parameters(parent, name, torch::ones({width}), torch::zeros({width}));
}

std::shared_ptr<torch::nn::Module> add_group(torch::nn::Module& parent, const std::string& name) {
  return parent.register_module(name, std::make_shared<torch::nn::Module>());
}

torch::Tensor layer_norm(const torch::Tensor& x, const WeightAndBias& norm) {
  return torch::layer_norm(x, {x.size(-1)}, norm.weight, norm.bias, kLayerNormEpsilon);
}

torch::Tensor drop_path(const torch::Tensor& branch, double rate, nn::CounterKey key) {
  if (rate == 0.0) return branch;
  std::vector<std::int64_t> sizes(static_cast<std::size_t>(branch.dim()), 1);
  sizes[0] = branch.size(0);
  return branch * nn::dropout(torch::ones(sizes, branch.options().requires_grad(false)), rate, key);
}

void check_pictures(const torch::Tensor& pictures, std::int64_t channels, std::int64_t smallest) {
  TORCH_CHECK(pictures.dim() == 4 && pictures.size(0) > 0 && pictures.size(1) == channels &&
                  pictures.size(2) >= smallest && pictures.size(3) >= smallest,
              "pictures must have the shape [batch, ", channels, ", height, width] with sides of at least ",
              smallest, ", not ", pictures.sizes());
}

}  // namespace gradstab::lab::vision
