// The vision transformer.
#pragma once

#include <torch/torch.h>

#include <cstdint>
#include <vector>

#include "lab/vision/classifier.hpp"
#include "lab/vision/model_parts.hpp"

namespace gradstab::lab::vision {

/// ViT (Dosovitskiy et al. 2021, arXiv 2010.11929). Patches go through one linear layer; a learned class
/// token comes in front of them, and learned positions are added. Then the layers: norm, attention, sum;
/// norm, feed-forward block with GELU, sum. A last norm, and one linear layer from the class token to the
/// classes. All norms are LayerNorm with epsilon 1e-6. Dropout acts on what enters the first layer, on the
/// output of attention and twice in the feed-forward block.
///
/// Parameters: "patches.{weight [width, channels, patch, patch], bias}", "class_token" [width], "positions"
/// [tokens, width], for every layer n "layers.n.attention_norm.{weight,bias}", "layers.n.projections.{weight
/// [3 width, width], bias}" (queries, keys, values in one tensor, as published, so that they have one norm),
/// "layers.n.output.{weight,bias}", "layers.n.feed_forward_norm.{weight,bias}",
/// "layers.n.mlp.{inner,outer}.{weight,bias}", and "norm.{weight,bias}" and "head.{weight,bias}".
class Vit final : public Classifier {
 public:
  /// Initial weights: patches normal with variance 1/inputs; positions normal with deviation 0.02; class
  /// token and head 0; projections, inner and outer uniform after Xavier, output U(-1/sqrt(width),
  /// 1/sqrt(width)); biases 0, but those of inner and outer normal with deviation 1e-6.
  Vit(const VitConfig& config, std::uint64_t seed);

  torch::Tensor forward(const torch::Tensor& pictures, const nn::Draw& draw = {}) override;

 private:
  struct Layer {
    WeightAndBias attention_norm, projections, output, feed_forward_norm, inner, outer;
  };

  torch::Tensor attention(const torch::Tensor& x, const Layer& layer) const;

  VitConfig config_;
  WeightAndBias patches_, norm_, head_;
  torch::Tensor class_token_, positions_;
  std::vector<Layer> layers_;
};

}  // namespace gradstab::lab::vision
