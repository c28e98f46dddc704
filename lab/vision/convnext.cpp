#include "lab/vision/convnext.hpp"

#include <numeric>
#include <string>

#include "lab/vision/initial_weights.hpp"

namespace gradstab::lab::vision {
namespace {

using torch::Tensor;

constexpr double kDeviation = 0.02;
constexpr std::int64_t kDepthwiseSide = 7;

/// LayerNorm over the channels of [batch, channels, height, width].
Tensor norm_of_channels(const Tensor& x, const WeightAndBias& norm) {
  return layer_norm(x.permute({0, 2, 3, 1}), norm).permute({0, 3, 1, 2});
}

}  // namespace

ConvNext::ConvNext(const ConvNextConfig& config, std::uint64_t seed) : config_(config) {
  const torch::NoGradGuard no_grad;
  InitialWeights initial(seed);
  const auto layer = [&](torch::nn::Module& parent, const std::string& name, at::IntArrayRef sizes) {
    return add_parameters(parent, name, initial.normal(sizes, kDeviation), torch::zeros({sizes[0]}));
  };
  std::int64_t in = config_.widths.front();
  stem_ = layer(*this, "stem", {in, config_.channels, config_.stem, config_.stem});
  stem_norm_ = add_layer_norm(*this, "stem_norm", in);
  const std::int64_t all = std::accumulate(config_.blocks.begin(), config_.blocks.end(), std::int64_t{0});
  std::int64_t number = 0;
  const auto stages = add_group(*this, "stages");
  for (std::size_t s = 0; s < config_.widths.size(); ++s) {
    const std::int64_t width = config_.widths[s];
    const auto module = add_group(*stages, std::to_string(s));
    Stage& stage = stages_.emplace_back();
    if (s > 0) {
      stage.norm = add_layer_norm(*module, "norm", in);
      stage.halving = layer(*module, "halving", {width, in, 2, 2});
    }
    const auto blocks = add_group(*module, "blocks");
    for (std::int64_t b = 0; b < config_.blocks[s]; ++b, ++number) {
      const auto parts = add_group(*blocks, std::to_string(b));
      Block block;
      block.depthwise = layer(*parts, "depthwise", {width, 1, kDepthwiseSide, kDepthwiseSide});
      block.norm = add_layer_norm(*parts, "norm", width);
      const auto mlp = add_group(*parts, "mlp");
      block.inner = layer(*mlp, "inner", {4 * width, width});
      block.outer = layer(*mlp, "outer", {width, 4 * width});
      block.layer_scale = parts->register_parameter("layer_scale", torch::full({width}, config_.layer_scale));
      block.drop_path = drop_path_rate(config_.drop_path, number, all);
      stage.blocks.push_back(block);
    }
    in = width;
  }
  norm_ = add_layer_norm(*this, "norm", in);
  head_ = layer(*this, "head", {config_.classes, in});
}

Tensor ConvNext::forward(const Tensor& pictures, const nn::Draw& draw) {
  check_pictures(pictures, config_.channels, smallest_picture(config_));
  Tensor x = norm_of_channels(torch::conv2d(pictures, stem_.weight, stem_.bias, config_.stem), stem_norm_);
  std::uint64_t place = 0;
  for (const Stage& stage : stages_) {
    if (stage.halving.weight.defined())
      x = torch::conv2d(norm_of_channels(x, stage.norm), stage.halving.weight, stage.halving.bias, 2);
    for (const Block& block : stage.blocks) {
      Tensor branch =
          torch::conv2d(x, block.depthwise.weight, block.depthwise.bias, 1, kDepthwiseSide / 2, 1, x.size(1));
      branch = layer_norm(branch.permute({0, 2, 3, 1}), block.norm);
      branch = torch::gelu(torch::linear(branch, block.inner.weight, block.inner.bias));
      branch = torch::linear(branch, block.outer.weight, block.outer.bias) * block.layer_scale;
      x = x +
          drop_path(branch.permute({0, 3, 1, 2}), is_training() ? block.drop_path : 0.0, draw.key(place++));
    }
  }
  return torch::linear(layer_norm(x.mean({2, 3}), norm_), head_.weight, head_.bias);
}

}  // namespace gradstab::lab::vision
