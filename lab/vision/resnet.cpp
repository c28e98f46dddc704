#include "lab/vision/resnet.hpp"

#include <cmath>
#include <string>
#include <utility>

#include "lab/vision/initial_weights.hpp"

namespace gradstab::lab::vision {

using torch::Tensor;

ResNet::ResNet(const ResNetConfig& config, std::uint64_t seed) : config_(config) {
  const torch::NoGradGuard no_grad;
  InitialWeights initial(seed);
  const auto convolution = [&](torch::nn::Module& parent, const std::string& name, std::int64_t in,
                               std::int64_t out, std::int64_t side, std::int64_t stride) {
    const double deviation = std::sqrt(2.0 / static_cast<double>(out * side * side));
    Convolution made;
    made.weight = add_parameters(parent, name, initial.normal({out, in, side, side}, deviation)).weight;
    made.norm = parent.register_module(name + "_norm", torch::nn::BatchNorm2d(out));
    made.stride = stride;
    return made;
  };
  std::int64_t in = config_.widths.front();
  const bool wide = config_.stem == ResNetStem::wide;
  stem_ = convolution(*this, "stem", config_.channels, in, wide ? 7 : 3,
                      config_.stem == ResNetStem::narrow ? 1 : 2);
  const auto stages = add_group(*this, "stages");
  for (std::size_t s = 0; s < config_.widths.size(); ++s) {
    const std::int64_t width = config_.widths[s];
    const std::int64_t out = config_.leaves(width);
    const auto blocks = add_group(*add_group(*stages, std::to_string(s)), "blocks");
    for (std::int64_t b = 0; b < config_.blocks[s]; ++b) {
      const std::int64_t stride = s > 0 && b == 0 ? 2 : 1;
      const auto parts = add_group(*blocks, std::to_string(b));
      Block block;
      if (config_.bottlenecks) {
        block.branch.push_back(convolution(*parts, "first", in, width, 1, 1));
        block.branch.push_back(convolution(*parts, "second", width, width, 3, stride));
        block.branch.push_back(convolution(*parts, "third", width, out, 1, 1));
      } else {
        block.branch.push_back(convolution(*parts, "first", in, width, 3, stride));
        block.branch.push_back(convolution(*parts, "second", width, width, 3, 1));
      }
      if (in != out || stride != 1) block.shortcut = convolution(*parts, "shortcut", in, out, 1, stride);
      blocks_.push_back(std::move(block));
      in = out;
    }
  }
  const double bound = 1.0 / std::sqrt(static_cast<double>(in));
  Tensor weight = initial.uniform({config_.classes, in}, bound);
  head_ = add_parameters(*this, "head", std::move(weight), initial.uniform({config_.classes}, bound));
}

Tensor ResNet::Convolution::apply(const Tensor& x) {
  return norm->forward(torch::conv2d(x, weight, {}, stride, weight.size(2) / 2));
}

Tensor ResNet::forward(const Tensor& pictures, const nn::Draw&) {
  check_pictures(pictures, config_.channels, smallest_picture(config_));
  Tensor x = stem_.apply(pictures).relu_();
  if (config_.stem == ResNetStem::wide) x = torch::max_pool2d(x, 3, 2, 1);
  for (Block& block : blocks_) {
    Tensor branch = x;
    for (std::size_t i = 0; i < block.branch.size(); ++i) {
      branch = block.branch[i].apply(branch);
      if (i + 1 < block.branch.size()) branch.relu_();
    }
    x = (branch + (block.shortcut.weight.defined() ? block.shortcut.apply(x) : x)).relu_();
  }
  return torch::linear(x.mean({2, 3}), head_.weight, head_.bias);
}

}  // namespace gradstab::lab::vision
