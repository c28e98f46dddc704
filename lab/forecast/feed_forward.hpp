// The feed-forward block of an encoder layer, forward and backward, for encoder_kernels.cpp.
//
// Included only by what is compiled once per instruction set, into the namespace of that set.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "lab/forecast/encoder_kernels.hpp"
#include "lab/forecast/row_blocks.hpp"
#include "lab/nn/cpu_elementary.hpp"

namespace gradstab::lab::forecast::GRADSTAB_KERNEL_SET {

using lab::GRADSTAB_KERNEL_SET::exponential;

/// The normal distribution function and its density at x.
template <class Scalar>
struct Normal {
  Scalar distribution, density;
};
inline Normal<double> normal(double x) {
  return {0.5 * std::erfc(-0.70710678118654752440 * x), 0.39894228040143267794 * std::exp(-0.5 * x * x)};
}
// Abramowitz and Stegun 7.1.26, whose error is below 1.5e-7 in erf, hence below 7.5e-8 here: about that of
// one minus the rounded value. Unlike std::erf the compiler turns it into vector code, and it shares its
// exponential with the density.
inline Normal<float> normal(float x) {
  const float size = x < 0 ? -x : x;
  const float t = 1 / (1 + 0.23164189F * size);  // 0.3275911 / sqrt(2)
  float tail = 1.061405429F;
  tail = tail * t - 1.453152027F;
  tail = tail * t + 1.421413741F;
  tail = tail * t - 0.284496736F;
  tail = tail * t + 0.254829592F;
  const float bell = exponential(-0.5F * x * x);
  tail = 0.5F * tail * t * bell;
  return {x < 0 ? tail : 1 - tail, 0.39894228F * bell};
}

/// The weights padded with zeros, and as products need them.
template <class Scalar>
class PaddedWeights {
 public:
  PaddedWeights(const FeedForward<const Scalar>& weights, const FeedForwardShape& shape)
      : width(padded(shape.width)),
        hidden(padded(shape.hidden)),
        memory_(4 * width * hidden + width + hidden),
        inner(memory_.take(hidden * width)),
        inner_transposed(memory_.take(width * hidden)),
        outer(memory_.take(width * hidden)),
        outer_transposed(memory_.take(hidden * width)),
        inner_bias(memory_.take(hidden)),
        outer_bias(memory_.take(width)) {
    for (Index h = 0; h < shape.hidden; ++h) {
      for (Index w = 0; w < shape.width; ++w) {
        inner[h * width + w] = inner_transposed[w * hidden + h] = weights.inner[h * shape.width + w];
        outer[w * hidden + h] = outer_transposed[h * width + w] = weights.outer[w * shape.hidden + h];
      }
    }
    std::copy_n(weights.inner_bias, shape.hidden, inner_bias);
    std::copy_n(weights.outer_bias, shape.width, outer_bias);
  }

  const Index width, hidden;

 private:
  Scratch<Scalar> memory_;

 public:
  Scalar *const inner, *const inner_transposed, *const outer, *const outer_transposed;
  Scalar *const inner_bias, *const outer_bias;
};

/// What gelu and dropout make of the hidden sums of a block, in place; with `slope`, also the derivative.
template <bool with_slope, class Scalar>
void activate(Scalar* sums, Index first_row, Index rows, Index row_size, const FeedForwardShape& shape,
              const Scalar* bias, Scalar* slope) {
  const nn::DropRule drop = shape.hidden_drop;
  const auto scale = static_cast<Scalar>(drop.scale);
  for (Index i = 0; i < rows; ++i) {
    Scalar* sum = sums + i * row_size;
    [[maybe_unused]] Scalar* derivative = with_slope ? slope + i * row_size : nullptr;
    const auto number = static_cast<std::uint32_t>((first_row + i) * shape.hidden);
#pragma omp simd
    for (Index h = 0; h < shape.hidden; ++h) {
      const Scalar x = sum[h] + bias[h];
      const Normal<Scalar> at = normal(x);
      const Scalar factor = drop.keeps(number + static_cast<std::uint32_t>(h)) ? scale : Scalar{0};
      sum[h] = x * at.distribution * factor;
      if constexpr (with_slope) derivative[h] = (at.distribution + x * at.density) * factor;
    }
  }
}

template <class Scalar>
void feed_forward(const Scalar* x, FeedForward<const Scalar> weights, FeedForwardShape shape, Scalar* y) {
  const PaddedWeights<Scalar> w(weights, shape);
  const nn::DropRule drop = shape.output_drop;
  const auto scale = static_cast<Scalar>(drop.scale);
#pragma omp parallel
  {
    Scratch<Scalar> scratch(kBlockRows * (2 * w.width + w.hidden));
    Scalar* in = scratch.take(kBlockRows * w.width);
    Scalar* hidden = scratch.take(kBlockRows * w.hidden);
    Scalar* out = scratch.take(kBlockRows * w.width);
#pragma omp for schedule(static)
    for (Index begin = 0; begin < shape.rows; begin += kBlockRows) {
      const Index rows = std::min(kBlockRows, shape.rows - begin);
      copy_rows(x + begin * shape.width, shape.width, rows, shape.width, in, w.width);
      multiply<false>(Strided<Scalar>{in, w.width, 1}, w.inner_transposed, w.hidden, hidden, w.hidden,
                      kBlockRows, shape.width, w.hidden);
      activate<false>(hidden, begin, rows, w.hidden, shape, w.inner_bias, static_cast<Scalar*>(nullptr));
      multiply<false>(Strided<Scalar>{hidden, w.hidden, 1}, w.outer_transposed, w.width, out, w.width,
                      kBlockRows, shape.hidden, w.width);
      for (Index i = 0; i < rows; ++i) {
        const auto number = static_cast<std::uint32_t>((begin + i) * shape.width);
        const Scalar* from = in + i * w.width;
        const Scalar* branch = out + i * w.width;
        Scalar* to = y + (begin + i) * shape.width;
#pragma omp simd
        for (Index j = 0; j < shape.width; ++j) {
          const Scalar added = (branch[j] + w.outer_bias[j]) * scale;
          to[j] = from[j] + (drop.keeps(number + static_cast<std::uint32_t>(j)) ? added : Scalar{0});
        }
      }
    }
  }
}

// With s = inner x + inner_bias, a = drop(gelu(s)), z = outer a + outer_bias, y = x + drop(z):
//   dz = drop(dy),  da = outer^T dz,  ds = da * slope,  dx = dy + inner^T ds,
//   douter = dz a^T,  dinner = ds x^T.
template <class Scalar>
void feed_forward_backward(const Scalar* dy, const Scalar* x, FeedForward<const Scalar> weights,
                           FeedForwardShape shape, Scalar* dx, FeedForward<Scalar> dweights) {
  const PaddedWeights<Scalar> w(weights, shape);
  const nn::DropRule drop = shape.output_drop;
  const auto scale = static_cast<Scalar>(drop.scale);
  const Index matrix = w.width * w.hidden;
  const Index part_size = 2 * matrix + w.width + w.hidden;
  const Index parts = (shape.rows + kPartRows - 1) / kPartRows;
  Scratch<Scalar> part_memory(parts * part_size);
  Scalar* const part_sums = part_memory.take(parts * part_size);
#pragma omp parallel
  {
    Scratch<Scalar> scratch(kBlockRows * (3 * w.width + 3 * w.hidden));
    Scalar* in = scratch.take(kBlockRows * w.width);
    Scalar* dz = scratch.take(kBlockRows * w.width);
    Scalar* back = scratch.take(kBlockRows * w.width);
    Scalar* hidden = scratch.take(kBlockRows * w.hidden);
    Scalar* slope = scratch.take(kBlockRows * w.hidden);
    Scalar* dhidden = scratch.take(kBlockRows * w.hidden);
#pragma omp for schedule(static)
    for (Index part = 0; part < parts; ++part) {
      Scalar* const dinner = part_sums + part * part_size;
      Scalar* const douter = dinner + matrix;
      Scalar* const dinner_bias = douter + matrix;
      Scalar* const douter_bias = dinner_bias + w.hidden;
      const Index end = std::min(shape.rows, (part + 1) * kPartRows);
      for (Index begin = part * kPartRows; begin < end; begin += kBlockRows) {
        const Index rows = std::min(kBlockRows, end - begin);
        copy_rows(x + begin * shape.width, shape.width, rows, shape.width, in, w.width);
        for (Index i = 0; i < rows; ++i) {
          const auto number = static_cast<std::uint32_t>((begin + i) * shape.width);
          const Scalar* from = dy + (begin + i) * shape.width;
#pragma omp simd
          for (Index j = 0; j < shape.width; ++j)
            dz[i * w.width + j] =
                drop.keeps(number + static_cast<std::uint32_t>(j)) ? from[j] * scale : Scalar{0};
        }
        // Rows of the last block that are not there give no gradient.
        std::fill(dz + rows * w.width, dz + kBlockRows * w.width, Scalar{0});
        multiply<false>(Strided<Scalar>{in, w.width, 1}, w.inner_transposed, w.hidden, hidden, w.hidden,
                        kBlockRows, shape.width, w.hidden);
        activate<true>(hidden, begin, rows, w.hidden, shape, w.inner_bias, slope);
        multiply<true>(Strided<Scalar>{dz, 1, w.width}, hidden, w.hidden, douter, w.hidden, w.width,
                       kBlockRows, w.hidden);
        multiply<false>(Strided<Scalar>{dz, w.width, 1}, w.outer, w.hidden, dhidden, w.hidden, kBlockRows,
                        shape.width, w.hidden);
#pragma omp simd
        for (Index i = 0; i < kBlockRows * w.hidden; ++i) dhidden[i] *= slope[i];
        multiply<true>(Strided<Scalar>{dhidden, 1, w.hidden}, in, w.width, dinner, w.width, w.hidden,
                       kBlockRows, w.width);
        multiply<false>(Strided<Scalar>{dhidden, w.hidden, 1}, w.inner, w.width, back, w.width, kBlockRows,
                        shape.hidden, w.width);
        add_columns(dhidden, rows, w.hidden, shape.hidden, dinner_bias);
        add_columns(dz, rows, w.width, shape.width, douter_bias);
        for (Index i = 0; i < rows; ++i)
#pragma omp simd
          for (Index j = 0; j < shape.width; ++j)
            dx[(begin + i) * shape.width + j] = dy[(begin + i) * shape.width + j] + back[i * w.width + j];
      }
    }
  }
  add_parts(part_sums, parts, part_size);
  const Scalar* const sum = part_sums;
  copy_rows(sum, w.width, shape.hidden, shape.width, dweights.inner, shape.width);
  copy_rows(sum + matrix, w.hidden, shape.width, shape.hidden, dweights.outer, shape.hidden);
  std::copy_n(sum + 2 * matrix, shape.hidden, dweights.inner_bias);
  std::copy_n(sum + 2 * matrix + w.hidden, shape.width, dweights.outer_bias);
}

}  // namespace gradstab::lab::forecast::GRADSTAB_KERNEL_SET
