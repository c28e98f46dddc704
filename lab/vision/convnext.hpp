// ConvNeXt.
#pragma once

#include <torch/torch.h>

#include <cstdint>
#include <vector>

#include "lab/vision/classifier.hpp"
#include "lab/vision/model_parts.hpp"

namespace gradstab::lab::vision {

/// ConvNeXt (Liu et al. 2022, arXiv 2201.03545). A convolution whose stride is its size and a norm; stages of
/// blocks, between them a norm and a 2x2 convolution with stride 2; the mean over all pixels, a norm and one
/// linear layer. A block: depthwise 7x7 convolution, norm, linear layer to four times the width, GELU, linear
/// layer back, a learned scale of each channel, stochastic depth, sum. All norms are LayerNorm over the
/// channels of a pixel, with epsilon 1e-6.
///
/// Parameters: "stem.{weight,bias}", "stem_norm.{weight,bias}", for every stage s and block b "stages.s.norm"
/// and "stages.s.halving" (not of the first stage),
/// "stages.s.blocks.b.{depthwise,norm,inner,outer}.{weight,bias}" and "stages.s.blocks.b.layer_scale"
/// [width], and "norm.{weight,bias}" and "head.{weight,bias}".
class ConvNext final : public Classifier {
 public:
  /// Initial weights: normal with deviation 0.02, biases 0, the scales as the configuration says.
  ConvNext(const ConvNextConfig& config, std::uint64_t seed);

  torch::Tensor forward(const torch::Tensor& pictures, const nn::Draw& draw = {}) override;

 private:
  struct Block {
    WeightAndBias depthwise, norm, inner, outer;
    torch::Tensor layer_scale;
    double drop_path;
  };
  struct Stage {
    WeightAndBias norm, halving;
    std::vector<Block> blocks;
  };

  ConvNextConfig config_;
  WeightAndBias stem_, stem_norm_, norm_, head_;
  std::vector<Stage> stages_;
};

}  // namespace gradstab::lab::vision
