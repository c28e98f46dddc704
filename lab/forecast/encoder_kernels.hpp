// The loops of a PatchTST encoder layer on the CPU, on plain memory, without torch.
//
// Its matrices are tiny and many (42 patches, 16 features, heads 4 wide): as PyTorch operations most of the
// time goes into starting them and into reading and writing what is between them. Here attention and the
// feed-forward block are one pass each, and what is between stays in the first cache; the backward passes
// compute it again rather than read it.
//
// All arrays are dense and row-major and do not overlap; any size works, no alignment is needed. Sums run in
// the element type, in an order that does not depend on the number of threads. NaN in the input reaches the
// output.
#pragma once

#include <cstdint>
#include <vector>

#include "lab/nn/counter_random.hpp"

namespace gradstab::lab::forecast {

/// Dimensions of one attention call.
struct AttentionShape {
  std::int64_t series = 0;    ///< sequences that do not see each other
  std::int64_t length = 0;    ///< positions in each
  std::int64_t heads = 0;     ///< per position
  std::int64_t head_dim = 0;  ///< features per head
  std::int64_t layers = 0;    ///< whose scores are added: this layer and those before
};

/// The weights of a feed-forward block, or their gradients: `inner` [hidden, width] with its bias [hidden],
/// `outer` [width, hidden] with its bias [width].
template <class Scalar>
struct FeedForward {
  Scalar *inner = nullptr, *inner_bias = nullptr, *outer = nullptr, *outer_bias = nullptr;
};

/// Dimensions and dropout of one call of a feed-forward block.
struct FeedForwardShape {
  std::int64_t rows = 0, width = 0, hidden = 0;
  nn::DropRule hidden_drop;  ///< of the hidden activations, numbered as in [rows, hidden]
  nn::DropRule output_drop;  ///< of what is added to the input, numbered as in [rows, width]
};

/// Dimensions of one linear layer: x is [rows, in], y [rows, out].
struct LinearShape {
  std::int64_t rows = 0, in = 0, out = 0;
};

/// The kernels of one instruction set; Scalar is float or double.
template <class Scalar>
struct EncoderKernels {
  /// Attention whose scores are added up over the layers so far. projections[l] of layer l is [series*length,
  /// 3*heads*head_dim]: queries, keys, values. With S = sum over l of q_l k_l^T / sqrt(head_dim), y
  /// [series*length, heads*head_dim] = softmax(S) v of the last layer. log_sum [series, heads, length] keeps
  /// the logarithm of each softmax denominator for the backward pass.
  void (*attention)(const Scalar* const* projections, AttentionShape shape, Scalar* y, Scalar* log_sum);

  /// The gradients of `attention` with respect to each of the projections, as large as they. Those of the
  /// values of earlier layers are zero.
  void (*attention_backward)(const Scalar* dy, const Scalar* const* projections, const Scalar* log_sum,
                             AttentionShape shape, Scalar* const* dprojections);

  /// y = x + drop(outer * drop(gelu(inner * x + inner_bias)) + outer_bias), for x and y [rows, width], with
  /// gelu(h) = h * Phi(h), Phi the normal distribution function.
  void (*feed_forward)(const Scalar* x, FeedForward<const Scalar> weights, FeedForwardShape shape, Scalar* y);

  /// The gradients of `feed_forward` with respect to x and the weights.
  void (*feed_forward_backward)(const Scalar* dy, const Scalar* x, FeedForward<const Scalar> weights,
                                FeedForwardShape shape, Scalar* dx, FeedForward<Scalar> dweights);

  /// y = x weight^T + bias, for weight [out, in] and bias [out]. Made for weights that fit the first cache.
  void (*linear)(const Scalar* x, const Scalar* weight, const Scalar* bias, LinearShape shape, Scalar* y);

  /// The gradients of `linear` with respect to x, unless dx is null, weight and bias.
  void (*linear_backward)(const Scalar* dy, const Scalar* x, const Scalar* weight, LinearShape shape,
                          Scalar* dx, Scalar* dweight, Scalar* dbias);
};

/// The best that this processor can run.
template <class Scalar>
const EncoderKernels<Scalar>& encoder_kernels() noexcept;

/// All builds that this processor can run, the best one last; for tests.
template <class Scalar>
std::vector<const EncoderKernels<Scalar>*> all_encoder_kernels();

}  // namespace gradstab::lab::forecast
