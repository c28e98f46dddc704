// The loops of cpu_kernels.hpp. Compiled once per instruction set, all of it in the namespace
// GRADSTAB_KERNEL_SET, so that no copy with newer instructions can stand in for an older one at link time.
#include "lab/nn/cpu_kernels.hpp"

#include <algorithm>
#include <cmath>
#include <memory>
#include <type_traits>

#include "lab/nn/cpu_attention.hpp"
#include "lab/nn/cpu_elementary.hpp"

namespace gradstab::lab::GRADSTAB_KERNEL_SET {
namespace {

/// Below this many elements starting the threads costs more than it saves.
constexpr Index kParallelElements = 1 << 14;

// ---- normalization and MLP
// -------------------------------------------------------------------------------------

template <class Scalar>
void rms_norm(const Scalar* x, const Scalar* gain, Index rows, Index width, double epsilon, Scalar* y,
              Scalar* inverse_rms) {
#pragma omp parallel for schedule(static) if (rows * width > kParallelElements)
  for (Index row = 0; row < rows; ++row) {
    const Scalar* in = x + row * width;
    Scalar* out = y + row * width;
    Scalar sum = 0;
#pragma omp simd reduction(+ : sum)
    for (Index i = 0; i < width; ++i) sum += in[i] * in[i];
    const Scalar inverse = 1 / std::sqrt(sum / static_cast<Scalar>(width) + static_cast<Scalar>(epsilon));
    inverse_rms[row] = inverse;
#pragma omp simd
    for (Index i = 0; i < width; ++i) out[i] = in[i] * inverse * gain[i];
  }
}

template <class Scalar>
void rms_norm_backward(const Scalar* dy, const Scalar* x, const Scalar* gain, const Scalar* inverse_rms,
                       Index rows, Index width, Scalar* dx, Scalar* dgain) {
  // The rows are cut into parts of a fixed size, whose gain gradients are added in order: the same sum for
  // any number of threads.
  constexpr Index kPartRows = 64;
  const Index parts = (rows + kPartRows - 1) / kPartRows;
  const std::unique_ptr<Scalar[]> part_gains(new Scalar[static_cast<std::size_t>(parts * width)]());
#pragma omp parallel for schedule(static) if (rows * width > kParallelElements)
  for (Index part = 0; part < parts; ++part) {
    Scalar* part_gain = part_gains.get() + part * width;
    const Index end = std::min(rows, (part + 1) * kPartRows);
    for (Index row = part * kPartRows; row < end; ++row) {
      const Scalar* in = x + row * width;
      const Scalar* grad = dy + row * width;
      Scalar* out = dx + row * width;
      const Scalar inverse = inverse_rms[row];
      Scalar dot = 0;
#pragma omp simd reduction(+ : dot)
      for (Index i = 0; i < width; ++i) dot += grad[i] * gain[i] * in[i];
      const Scalar pull = dot * inverse * inverse / static_cast<Scalar>(width);
#pragma omp simd
      for (Index i = 0; i < width; ++i) {
        out[i] = inverse * (grad[i] * gain[i] - in[i] * pull);
        part_gain[i] += grad[i] * in[i] * inverse;
      }
    }
  }
  std::fill(dgain, dgain + width, Scalar{0});
  for (Index part = 0; part < parts; ++part)
    for (Index i = 0; i < width; ++i) dgain[i] += part_gains[static_cast<std::size_t>(part * width + i)];
}

// In 16 bits silu and the product are two operations, each of which rounds its result.
template <class Scalar, class Rounding>
void swiglu(const Scalar* gate_up, Index rows, Index width, Scalar* y) {
#pragma omp parallel for schedule(static) if (rows * width > kParallelElements)
  for (Index row = 0; row < rows; ++row) {
    const Scalar* gate = gate_up + row * 2 * width;
    const Scalar* up = gate + width;
    Scalar* out = y + row * width;
#pragma omp simd
    for (Index i = 0; i < width; ++i) {
      const Scalar silu = Rounding::apply(gate[i] / (1 + exponential(-gate[i])));
      out[i] = Rounding::apply(silu * up[i]);
    }
  }
}

template <class Scalar, class Rounding>
void swiglu_backward(const Scalar* dy, const Scalar* gate_up, Index rows, Index width, Scalar* dgate_up) {
#pragma omp parallel for schedule(static) if (rows * width > kParallelElements)
  for (Index row = 0; row < rows; ++row) {
    const Scalar* gate = gate_up + row * 2 * width;
    const Scalar* up = gate + width;
    const Scalar* grad = dy + row * width;
    Scalar* dgate = dgate_up + row * 2 * width;
    Scalar* dup = dgate + width;
#pragma omp simd
    for (Index i = 0; i < width; ++i) {
      const Scalar sigmoid = 1 / (1 + exponential(-gate[i]));
      if constexpr (std::is_same_v<Rounding, Unrounded>) {
        dgate[i] = grad[i] * up[i] * sigmoid * (1 + gate[i] * (1 - sigmoid));
        dup[i] = grad[i] * gate[i] * sigmoid;
      } else {
        const Scalar dsilu = Rounding::apply(grad[i] * up[i]);
        dgate[i] = Rounding::apply(dsilu * sigmoid * (1 + gate[i] * (1 - sigmoid)));
        dup[i] = Rounding::apply(grad[i] * Rounding::apply(gate[i] * sigmoid));
      }
    }
  }
}

// ---- loss
// ------------------------------------------------------------------------------------------------------

template <class Scalar>
void cross_entropy(Scalar* logits, const std::int64_t* targets, Index rows, Index classes, Scalar scale,
                   Scalar* losses) {
#pragma omp parallel for schedule(static) if (rows * classes > kParallelElements)
  for (Index row = 0; row < rows; ++row) {
    Scalar* logit = logits + row * classes;
    const std::int64_t target = targets[row];
    if (target < 0) {
      losses[row] = 0;
      if (scale != 0) std::fill(logit, logit + classes, Scalar{0});
      continue;
    }
    Scalar largest = logit[0];
#pragma omp simd reduction(max : largest)
    for (Index j = 0; j < classes; ++j) largest = logit[j] > largest ? logit[j] : largest;
    const Scalar target_logit = logit[target];
    Scalar sum = 0;
#pragma omp simd reduction(+ : sum)
    for (Index j = 0; j < classes; ++j) sum += logit[j] = exponential(logit[j] - largest);
    losses[row] = std::log(sum) + largest - target_logit;
    if (scale == 0) continue;
    const Scalar factor = scale / sum;
#pragma omp simd
    for (Index j = 0; j < classes; ++j) logit[j] *= factor;
    logit[target] -= scale;
  }
}

template <class Scalar, class Rounding>
void round(const Scalar* x, Index count, Scalar* y) {
#pragma omp parallel for simd schedule(static) if (parallel : count > kParallelElements)
  for (Index i = 0; i < count; ++i) y[i] = Rounding::apply(x[i]);
}

template <class Scalar, class Rounding>
constexpr CpuKernels<Scalar> kKernels = {rms_norm<Scalar>,
                                         rms_norm_backward<Scalar>,
                                         swiglu<Scalar, Rounding>,
                                         swiglu_backward<Scalar, Rounding>,
                                         attention<Scalar, Rounding>,
                                         attention_backward<Scalar, Rounding>,
                                         cross_entropy<Scalar>,
                                         round<Scalar, Rounding>};

}  // namespace

extern const CpuKernels<float> kFloatKernels;
extern const CpuKernels<float> kBFloat16Kernels;
extern const CpuKernels<float> kHalfKernels;
extern const CpuKernels<double> kDoubleKernels;
const CpuKernels<float> kFloatKernels = kKernels<float, Unrounded>;
const CpuKernels<float> kBFloat16Kernels = kKernels<float, ToBFloat16>;
const CpuKernels<float> kHalfKernels = kKernels<float, ToHalf>;
const CpuKernels<double> kDoubleKernels = kKernels<double, Unrounded>;

}  // namespace gradstab::lab::GRADSTAB_KERNEL_SET
