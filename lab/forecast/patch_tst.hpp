// PatchTST, the forecasting transformer.
#pragma once

#include <torch/torch.h>

#include <cstdint>
#include <vector>

#include "lab/forecast/patch_tst_config.hpp"
#include "lab/nn/counter_random.hpp"

namespace gradstab::lab::forecast {

/// PatchTST (Nie et al. 2023, arXiv:2211.14730) as its authors' supervised code computes it. Every channel is
/// a series of its own and all share every weight. In order:
///   - each window is normalized by its own mean and standard deviation, sqrt(biased variance + 1e-5), both
///     without gradient (Kim et al. 2022, RevIN);
///   - its last value is repeated patch_stride times, and patches of it go through one linear layer; learned
///     positions are added; dropout;
///   - the encoder layers: attention with scores added up over the layers (residual_attention), output layer,
///     dropout, dropout of the branch once more, sum, norm; feed-forward block with GELU and dropout, sum,
///     norm. The norm is BatchNorm over the features of all patches of all series of the batch, not
///     LayerNorm: it has buffers, and training and evaluation differ;
///   - one linear layer from all features of all patches, feature by feature, to the horizon; the
///     normalization is taken back.
///
/// Parameters: "embedding.{weight [width, patch_length], bias}", "positions" [patches, width], for every
/// layer n "layers.n.{query,key,value,output}.{weight,bias}", "layers.n.attention_norm.{weight,bias}",
/// "layers.n.{inner,outer}.{weight,bias}", "layers.n.feed_forward_norm.{weight,bias}", and
/// "head.{weight [horizon, width*patches], bias}"; with revin_affine "revin.{weight,bias}" [channels]. The
/// norms have the buffers of torch::nn::BatchNorm1d.
class PatchTstImpl : public torch::nn::Module {
 public:
  /// Draws weights and biases of linear layers from U(-1/sqrt(inputs), 1/sqrt(inputs)) and positions from
  /// U(-0.02, 0.02), in the order of the names above, on the CPU in float: the same numbers for any number of
  /// threads. Gains are 1. Sizes that cannot be built throw gradstab::Error.
  PatchTstImpl(const PatchTstConfig& config, std::uint64_t seed);

  /// The forecast [batch, channels, horizon] for `windows` [batch, channels, look_back], time along the last
  /// dimension, on the scale of the input. In training mode dropout is drawn by `draw`, and the norms use and
  /// record the statistics of the batch; in evaluation mode there is no dropout and `draw` has no effect.
  torch::Tensor forward(const torch::Tensor& windows, const nn::Draw& draw = {});

  const PatchTstConfig& config() const noexcept { return config_; }

 private:
  struct Linear {
    torch::Tensor weight, bias;
  };
  struct Layer {
    Linear query, key, value, output, inner, outer;
    torch::nn::BatchNorm1d attention_norm = nullptr, feed_forward_norm = nullptr;
  };

  torch::Tensor encode(torch::Tensor x, const nn::Draw& draw);

  PatchTstConfig config_;
  Linear embedding_, head_, revin_;
  torch::Tensor positions_;
  std::vector<Layer> layers_;
};
TORCH_MODULE(PatchTst);

}  // namespace gradstab::lab::forecast
