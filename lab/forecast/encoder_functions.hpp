// The pieces of a PatchTST encoder layer that take most of its time, as differentiable functions of tensors.
//
// For float and double tensors on the CPU each is one autograd node over encoder_kernels.hpp; for anything
// else it is the composition of PyTorch operations in the namespace `composed`, which is also what the tests
// compare the nodes with. The nodes give first derivatives only: a backward pass that records its own graph
// throws c10::Error.
#pragma once

#include <torch/torch.h>

#include <cstdint>
#include <vector>

#include "lab/nn/counter_random.hpp"

namespace gradstab::lab::forecast {

/// Attention whose scores before softmax are those of this layer plus those of the layers before it (He et
/// al. 2021, "RealFormer", arXiv:2012.11747). projections: queries, keys and values of each layer so far,
/// this one's last, each [series*length, 3*width]. Every position sees every other one of its series; the
/// scores of a head are q k^T / sqrt(width/heads). The result is [series*length, width].
///
/// Earlier layers' scores are computed again from their queries and keys: a [length, length] matrix for each
/// head, layer and series would cost more time and far more memory.
torch::Tensor residual_attention(const std::vector<torch::Tensor>& projections, std::int64_t length,
                                 std::int64_t heads);

/// The weights of `feed_forward`: [hidden, width], [hidden], [width, hidden], [width].
struct FeedForwardWeights {
  torch::Tensor inner, inner_bias, outer, outer_bias;
};

/// Dropout of `feed_forward`: its rate in [0, 1) and the keys of its two places (lab/nn/dropout.hpp).
struct FeedForwardDropout {
  double rate = 0;
  nn::CounterKey hidden, output;
};

/// x + drop(outer(drop(gelu(inner(x))))) for x [rows, width], with the exact (erf) GELU.
torch::Tensor feed_forward(const torch::Tensor& x, const FeedForwardWeights& weights,
                           const FeedForwardDropout& dropout);

/// x weight^T + bias for x [rows, in], weight [out, in] and bias [out]. The kernel is used while the weights
/// are so few that they stay in the first cache; PyTorch's products are made for larger ones.
torch::Tensor linear(const torch::Tensor& x, const torch::Tensor& weight, const torch::Tensor& bias);

/// The same functions composed of PyTorch operations.
namespace composed {
torch::Tensor residual_attention(const std::vector<torch::Tensor>& projections, std::int64_t length,
                                 std::int64_t heads);
torch::Tensor feed_forward(const torch::Tensor& x, const FeedForwardWeights& weights,
                           const FeedForwardDropout& dropout);
}  // namespace composed

}  // namespace gradstab::lab::forecast
