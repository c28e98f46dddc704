#include "lab/vision/vit.hpp"

#include <cmath>
#include <string>

#include "lab/nn/dropout.hpp"
#include "lab/vision/initial_weights.hpp"

namespace gradstab::lab::vision {
namespace {

using torch::Tensor;

/// Where something is dropped. Each has masks of its own.
enum class Place : std::uint64_t {
  attention,
  attention_path,
  hidden,
  feed_forward,
  feed_forward_path,
  count
};
constexpr std::uint64_t kEmbeddingPlace = 0;
constexpr std::uint64_t place_of(std::size_t layer, Place place) {
  return 1 + layer * static_cast<std::uint64_t>(Place::count) + static_cast<std::uint64_t>(place);
}

double xavier_bound(std::int64_t in, std::int64_t out) {
  return std::sqrt(6.0 / static_cast<double>(in + out));
}

}  // namespace

Vit::Vit(const VitConfig& config, std::uint64_t seed) : config_(config) {
  const torch::NoGradGuard no_grad;
  InitialWeights initial(seed);
  const std::int64_t width = config_.width;
  const double inputs = static_cast<double>(config_.channels * config_.patch * config_.patch);
  patches_ = add_parameters(
      *this, "patches",
      initial.normal({width, config_.channels, config_.patch, config_.patch}, std::sqrt(1.0 / inputs)),
      torch::zeros({width}));
  class_token_ = register_parameter("class_token", torch::zeros({width}));
  positions_ = register_parameter("positions", initial.normal({config_.tokens(), width}, 0.02));
  const auto layers = add_group(*this, "layers");
  const auto xavier = [&](torch::nn::Module& parent, const std::string& name, std::int64_t in,
                          std::int64_t out, bool has_bias) {
    Tensor weight = initial.uniform({out, in}, xavier_bound(in, out));
    return add_parameters(parent, name, weight, has_bias ? initial.normal({out}, 1e-6) : torch::zeros({out}));
  };
  for (std::int64_t index = 0; index < config_.layers; ++index) {
    const auto module = add_group(*layers, std::to_string(index));
    Layer layer;
    layer.attention_norm = add_layer_norm(*module, "attention_norm", width);
    layer.projections = xavier(*module, "projections", width, 3 * width, false);
    layer.output = add_parameters(
        *module, "output", initial.uniform({width, width}, 1.0 / std::sqrt(static_cast<double>(width))),
        torch::zeros({width}));
    layer.feed_forward_norm = add_layer_norm(*module, "feed_forward_norm", width);
    const auto mlp = add_group(*module, "mlp");
    layer.inner = xavier(*mlp, "inner", width, config_.hidden, true);
    layer.outer = xavier(*mlp, "outer", config_.hidden, width, true);
    layers_.push_back(layer);
  }
  norm_ = add_layer_norm(*this, "norm", width);
  head_ =
      add_parameters(*this, "head", torch::zeros({config_.classes, width}), torch::zeros({config_.classes}));
}

Tensor Vit::attention(const Tensor& x, const Layer& layer) const {
  const std::int64_t batch = x.size(0), tokens = x.size(1);
  const std::int64_t of_head = config_.width / config_.heads;
  const std::vector<Tensor> parts = torch::linear(x, layer.projections.weight, layer.projections.bias)
                                        .view({batch, tokens, 3, config_.heads, of_head})
                                        .permute({2, 0, 3, 1, 4})
                                        .unbind(0);
  const Tensor queries = parts[0] * (1.0 / std::sqrt(static_cast<double>(of_head)));
  const Tensor weights = torch::softmax(torch::matmul(queries, parts[1].transpose(-2, -1)), -1);
  const Tensor mixed =
      torch::matmul(weights, parts[2]).permute({0, 2, 1, 3}).reshape({batch, tokens, config_.width});
  return torch::linear(mixed, layer.output.weight, layer.output.bias);
}

Tensor Vit::forward(const Tensor& pictures, const nn::Draw& draw) {
  check_pictures(pictures, config_.channels, config_.picture);
  TORCH_CHECK(pictures.size(2) == config_.picture && pictures.size(3) == config_.picture,
              "this model is made for ", config_.picture, " x ", config_.picture,
              " pixels, the pictures have ", pictures.sizes());
  const std::int64_t batch = pictures.size(0), width = config_.width, patch = config_.patch;
  const std::int64_t side = config_.picture / patch;
  // A convolution whose stride is its size is a linear layer.
  Tensor x = pictures.reshape({batch, config_.channels, side, patch, side, patch})
                 .permute({0, 2, 4, 1, 3, 5})
                 .reshape({batch, side * side, config_.channels * patch * patch});
  x = torch::linear(x, patches_.weight.view({width, -1}), patches_.bias);
  x = torch::cat({class_token_.view({1, 1, width}).expand({batch, 1, width}), x}, 1) + positions_;
  const double rate = is_training() ? config_.dropout : 0.0;
  x = nn::dropout(x, rate, draw.key(kEmbeddingPlace));
  for (std::size_t index = 0; index < layers_.size(); ++index) {
    const Layer& layer = layers_[index];
    const auto key = [&](Place place) { return draw.key(place_of(index, place)); };
    const double path_rate =
        is_training() ? drop_path_rate(config_.drop_path, static_cast<std::int64_t>(index), config_.layers)
                      : 0.0;
    Tensor branch = attention(layer_norm(x, layer.attention_norm), layer);
    branch = nn::dropout(branch, rate, key(Place::attention));
    x = x + drop_path(branch, path_rate, key(Place::attention_path));
    branch = torch::linear(layer_norm(x, layer.feed_forward_norm), layer.inner.weight, layer.inner.bias);
    branch = nn::dropout(torch::gelu(branch), rate, key(Place::hidden));
    branch = torch::linear(branch, layer.outer.weight, layer.outer.bias);
    branch = nn::dropout(branch, rate, key(Place::feed_forward));
    x = x + drop_path(branch, path_rate, key(Place::feed_forward_path));
  }
  return torch::linear(layer_norm(x.select(1, 0), norm_), head_.weight, head_.bias);
}

}  // namespace gradstab::lab::vision
