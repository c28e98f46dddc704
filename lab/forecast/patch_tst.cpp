#include "lab/forecast/patch_tst.hpp"

#include <cmath>
#include <memory>
#include <string>
#include <utility>

#include "lab/forecast/encoder_functions.hpp"
#include "lab/nn/dropout.hpp"

namespace gradstab::lab::forecast {
namespace {

using torch::Tensor;
using torch::nn::Module;

constexpr double kRevinEpsilon = 1e-5;

/// Where dropout happens. Each has masks of its own.
enum class Place : std::uint64_t { attention_output, attention_branch, hidden, feed_forward_branch, count };
constexpr std::uint64_t kEmbeddingPlace = 0;
constexpr std::uint64_t place_of(std::size_t layer, Place place) {
  return 1 + layer * static_cast<std::uint64_t>(Place::count) + static_cast<std::uint64_t>(place);
}

/// The module that turns "query" into "query.weight" and "query.bias". torch::nn::Linear would do, but it
/// first draws an initialisation of its own from the global generator.
struct WeightAndBias : Module {
  WeightAndBias(Tensor weight, Tensor bias) {
    register_parameter("weight", std::move(weight));
    register_parameter("bias", std::move(bias));
  }
};

PatchTstConfig checked(const PatchTstConfig& config) {
  config.validate().check();
  return config;
}

}  // namespace

PatchTstImpl::PatchTstImpl(const PatchTstConfig& config, std::uint64_t seed) : config_(checked(config)) {
  const torch::NoGradGuard no_grad;
  auto generator = torch::make_generator<torch::CPUGeneratorImpl>(seed);
  const auto uniform = [&](at::IntArrayRef sizes, double bound) {
    return torch::empty(sizes, torch::kFloat).uniform_(-bound, bound, generator);
  };
  // Handles kept beside the modules stay valid: Module::to and optimizers change the data behind them.
  const auto add = [](Module& parent, const std::string& name, Tensor weight, Tensor bias) {
    const auto module = std::make_shared<WeightAndBias>(std::move(weight), std::move(bias));
    const auto parameters = parent.register_module(name, module)->named_parameters();
    return Linear{parameters["weight"], parameters["bias"]};
  };
  const auto linear = [&](Module& parent, const std::string& name, std::int64_t in, std::int64_t out) {
    const double bound = 1 / std::sqrt(static_cast<double>(in));
    Tensor weight = uniform({out, in}, bound);
    return add(parent, name, std::move(weight), uniform({out}, bound));
  };

  const std::int64_t width = config_.width;
  embedding_ = linear(*this, "embedding", config_.patch_length, width);
  positions_ = register_parameter("positions", uniform({config_.patches(), width}, 0.02));
  const auto layers = register_module("layers", std::make_shared<Module>());
  for (std::int64_t index = 0; index < config_.layers; ++index) {
    const auto module = layers->register_module(std::to_string(index), std::make_shared<Module>());
    Layer layer;
    layer.query = linear(*module, "query", width, width);
    layer.key = linear(*module, "key", width, width);
    layer.value = linear(*module, "value", width, width);
    layer.output = linear(*module, "output", width, width);
    layer.attention_norm = module->register_module("attention_norm", torch::nn::BatchNorm1d(width));
    layer.inner = linear(*module, "inner", width, config_.hidden);
    layer.outer = linear(*module, "outer", config_.hidden, width);
    layer.feed_forward_norm = module->register_module("feed_forward_norm", torch::nn::BatchNorm1d(width));
    layers_.push_back(std::move(layer));
  }
  head_ = linear(*this, "head", width * config_.patches(), config_.horizon);
  if (config_.revin_affine)
    revin_ = add(*this, "revin", torch::ones({config_.channels}), torch::zeros({config_.channels}));
}

Tensor PatchTstImpl::encode(Tensor x, const nn::Draw& draw) {
  const double rate = is_training() ? config_.dropout : 0;
  x = nn::dropout(x, rate, draw.key(kEmbeddingPlace));
  std::vector<Tensor> projections;
  for (std::size_t index = 0; index < layers_.size(); ++index) {
    Layer& layer = layers_[index];
    const auto key = [&](Place place) { return draw.key(place_of(index, place)); };
    projections.push_back(linear(x, torch::cat({layer.query.weight, layer.key.weight, layer.value.weight}),
                                 torch::cat({layer.query.bias, layer.key.bias, layer.value.bias})));
    const Tensor mixed = residual_attention(projections, config_.patches(), config_.heads);
    Tensor branch = linear(mixed, layer.output.weight, layer.output.bias);
    branch = nn::dropout(branch, rate, key(Place::attention_output));
    branch = nn::dropout(branch, rate, key(Place::attention_branch));
    x = layer.attention_norm->forward(x + branch);
    x = feed_forward(x, {layer.inner.weight, layer.inner.bias, layer.outer.weight, layer.outer.bias},
                     {rate, key(Place::hidden), key(Place::feed_forward_branch)});
    x = layer.feed_forward_norm->forward(x);
  }
  return x;
}

Tensor PatchTstImpl::forward(const Tensor& windows, const nn::Draw& draw) {
  TORCH_CHECK(windows.dim() == 3 && windows.size(0) > 0 && windows.size(1) > 0 &&
                  windows.size(2) == config_.look_back,
              "windows must have the shape [batch, channels, ", config_.look_back, "], not ",
              windows.sizes());
  TORCH_CHECK(!config_.revin_affine || windows.size(1) == config_.channels, "the model was made for ",
              config_.channels, " channels, the windows have ", windows.size(1));
  const Tensor input = windows.detach();
  const Tensor mean = input.mean(-1, true);
  const Tensor deviation = (input.var(-1, /*unbiased=*/false, true) + kRevinEpsilon).sqrt();
  Tensor x = (input - mean) / deviation;
  Tensor gain, bias;  // [channels, 1]
  if (config_.revin_affine) {
    gain = revin_.weight.unsqueeze(-1);
    bias = revin_.bias.unsqueeze(-1);
    x = x * gain + bias;
  }

  const std::int64_t series = windows.size(0) * windows.size(1);
  const std::int64_t patches = config_.patches();
  x = x.reshape({series, config_.look_back});
  x = torch::cat({x, x.narrow(1, config_.look_back - 1, 1).expand({series, config_.patch_stride})}, 1);
  x = x.unfold(1, config_.patch_length, config_.patch_stride)
          .reshape({series * patches, config_.patch_length});
  x = linear(x, embedding_.weight, embedding_.bias);
  x = x.view({series, patches, config_.width}) + positions_;
  x = encode(x.view({series * patches, config_.width}), draw);
  x = x.view({series, patches, config_.width}).transpose(1, 2).reshape({series, config_.width * patches});
  x = torch::linear(x, head_.weight, head_.bias).view({windows.size(0), windows.size(1), config_.horizon});
  if (config_.revin_affine)
    x = (x - bias) / (config_.compat_revin_inverse ? gain + kRevinEpsilon * kRevinEpsilon : gain);
  return x * deviation + mean;
}

}  // namespace gradstab::lab::forecast
