// The element-wise and attention loops of a LLaMA training step on the CPU, on plain memory, without torch.
//
// PyTorch computes each of these as a chain of small operations that read and write whole activations; here
// each is one pass. All arrays are dense and row-major, none overlap unless said so, any length works, no
// alignment is needed. Sums run in the element type, in an order that does not depend on the number of
// threads, so that results are the same bits for every thread count. NaN and Inf in the input reach the
// output.
//
// The kernels of a 16-bit precision work on float arrays whose values are those of the format: swiglu,
// attention and their gradients expect such input (gains, tables and log_sum excepted), compute in float and
// round to the nearest value of the format, ties to even, where an operation in that format would. So
// binary16 underflows and overflows as on a device that has it.
#pragma once

#include <cstdint>

#include "lab/nn/precision.hpp"

namespace gradstab::lab {

/// Dimensions of one attention call. `qkv` is [batch*length, 3*heads*head_dim]: all queries, then keys, then
/// values.
struct AttentionShape {
  std::int64_t batch, length, heads, head_dim;
};

/// The kernels for one element type and one instruction set.
template <class Scalar>
struct CpuKernels {
  /// y = x * gain / sqrt(mean(x^2) + epsilon) for each row of x [rows, width]; keeps 1/sqrt(...) in
  /// inverse_rms [rows].
  void (*rms_norm)(const Scalar* x, const Scalar* gain, std::int64_t rows, std::int64_t width, double epsilon,
                   Scalar* y, Scalar* inverse_rms);

  /// With r = inverse_rms and g = dy * gain: dx = r * (g - x * r^2 * mean(g * x)), dgain = sum over rows of
  /// dy * x * r.
  void (*rms_norm_backward)(const Scalar* dy, const Scalar* x, const Scalar* gain, const Scalar* inverse_rms,
                            std::int64_t rows, std::int64_t width, Scalar* dx, Scalar* dgain);

  /// y = silu(gate) * up, silu(z) = z / (1 + e^-z); gate_up [rows, 2*width] holds gate, then up; y [rows,
  /// width].
  void (*swiglu)(const Scalar* gate_up, std::int64_t rows, std::int64_t width, Scalar* y);

  /// The gradient of `swiglu` with respect to gate_up, [rows, 2*width].
  void (*swiglu_backward)(const Scalar* dy, const Scalar* gate_up, std::int64_t rows, std::int64_t width,
                          Scalar* dgate_up);

  /// Rotary position embedding, causal softmax(q k^T / sqrt(head_dim)) v and the merge of the heads.
  /// cosine, sine [length, head_dim/2]; y [batch*length, heads*head_dim]; log_sum [batch, heads, length]
  /// keeps the logarithm of each softmax denominator, from which the backward pass recomputes the
  /// probabilities.
  void (*attention)(const Scalar* qkv, const Scalar* cosine, const Scalar* sine, AttentionShape shape,
                    Scalar* y, Scalar* log_sum);

  /// The gradient of `attention` with respect to qkv.
  void (*attention_backward)(const Scalar* dy, const Scalar* qkv, const Scalar* cosine, const Scalar* sine,
                             const Scalar* log_sum, AttentionShape shape, Scalar* dqkv);

  /// losses[r] = log(sum_j e^logits[r,j]) - logits[r,target], and 0 where target < 0; targets are below
  /// `classes`. If `scale` is not 0, replaces logits [rows, classes] by its gradient scale * (softmax -
  /// onehot), with rows of zeros for negative targets; otherwise what is left in logits is of no use.
  void (*cross_entropy)(Scalar* logits, const std::int64_t* targets, std::int64_t rows, std::int64_t classes,
                        Scalar scale, Scalar* losses);

  /// y[i] = the value of the format nearest to x[i]; y may be x.
  void (*round)(const Scalar* x, std::int64_t count, Scalar* y);
};

/// The build without AVX2, which every processor of the architecture runs; for tests.
namespace baseline {
extern const CpuKernels<float> kFloatKernels;
extern const CpuKernels<float> kBFloat16Kernels;
extern const CpuKernels<float> kHalfKernels;
extern const CpuKernels<double> kDoubleKernels;
}  // namespace baseline

/// The best kernels that this processor can run; Scalar is float or double.
template <class Scalar>
const CpuKernels<Scalar>& cpu_kernels() noexcept;

/// Those that round as `precision` says.
const CpuKernels<float>& cpu_kernels(Precision precision) noexcept;

}  // namespace gradstab::lab
