// ResNet.
#pragma once

#include <torch/torch.h>

#include <cstdint>
#include <vector>

#include "lab/vision/classifier.hpp"
#include "lab/vision/model_parts.hpp"

namespace gradstab::lab::vision {

/// ResNet (He et al. 2016, arXiv 1512.03385). The stem, which ends with norm and ReLU; stages of blocks, of
/// which all but the first stage begin with stride 2; the mean over all pixels and one linear layer. A
/// block's branch is two 3x3 convolutions, or as a bottleneck 1x1, 3x3 (with the stride) and 1x1; each has a
/// norm and, but the last, ReLU. It is added to the block's input, which where shapes differ goes through a
/// 1x1 convolution and a norm; then ReLU. Convolutions have no biases. All norms are BatchNorm with epsilon
/// 1e-5 and momentum 0.1.
///
/// Parameters: "stem.weight", "stem_norm.{weight,bias}", for every stage s and block b
/// "stages.s.blocks.b.{first,second,third}.weight" with "..._norm.{weight,bias}" (third of bottlenecks only),
/// "stages.s.blocks.b.shortcut.weight" and "shortcut_norm" where there is one, and "head.{weight,bias}". The
/// norms have the buffers of torch::nn::BatchNorm2d.
class ResNet final : public Classifier {
 public:
  /// Initial weights: convolutions normal with variance 2/(outputs of a place times the kernel's size), the
  /// head U(-1/sqrt(inputs), 1/sqrt(inputs)) with its bias, gains 1.
  ResNet(const ResNetConfig& config, std::uint64_t seed);

  torch::Tensor forward(const torch::Tensor& pictures, const nn::Draw& draw = {}) override;

 private:
  struct Convolution {
    torch::Tensor weight;
    torch::nn::BatchNorm2d norm = nullptr;
    std::int64_t stride = 1;
    torch::Tensor apply(const torch::Tensor& x);
  };
  struct Block {
    std::vector<Convolution> branch;
    Convolution shortcut;
  };

  ResNetConfig config_;
  Convolution stem_;
  std::vector<Block> blocks_;
  WeightAndBias head_;
};

}  // namespace gradstab::lab::vision
