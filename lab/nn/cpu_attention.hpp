// Causal attention with rotary positions, forward and backward, for cpu_kernels.cpp.
//
// Included only by what is compiled once per instruction set, into the namespace of that set.
//
// With a 16-bit `Rounding` the values rounded are those of an attention kernel that multiplies 16-bit
// matrices into f32: the rotated queries and keys, the probabilities and the score gradients where they enter
// a product, and the results. Scores, softmax and all sums stay in f32.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <type_traits>

#include "lab/nn/cpu_elementary.hpp"
#include "lab/nn/cpu_kernels.hpp"
#include "lab/nn/cpu_matrix.hpp"

namespace gradstab::lab::GRADSTAB_KERNEL_SET {

/// Queries handled at a time: their scores stay in the second-level cache, and keys after the last one are
/// skipped.
constexpr Index kQueryBlock = 32;

/// One head of one sequence inside the [batch*length, 3*heads*head_dim] activations.
struct Head {
  Index first_row, column, hidden, length, dim;
  Head(const AttentionShape& shape, Index index)
      : first_row(index / shape.heads * shape.length),
        column(index % shape.heads * shape.head_dim),
        hidden(shape.heads * shape.head_dim),
        length(shape.length),
        dim(shape.head_dim) {}
  /// Offset of position t in part 0 (queries), 1 (keys) or 2 (values).
  Index in_qkv(Index t, Index part) const { return (first_row + t) * 3 * hidden + part * hidden + column; }
  Index in_output(Index t) const { return (first_row + t) * hidden + column; }
};

/// out[j] = factor * (in rotated by the angle of position and frequency); `direction` -1 rotates back.
template <class Scalar>
void rotate(const Scalar* in, const Scalar* cosine, const Scalar* sine, Index half, Scalar factor,
            Scalar direction, Scalar* out) {
#pragma omp simd
  for (Index j = 0; j < half; ++j) {
    const Scalar first = in[j];
    const Scalar second = in[j + half];
    const Scalar turn = direction * sine[j];
    out[j] = factor * (first * cosine[j] - second * turn);
    out[j + half] = factor * (second * cosine[j] + first * turn);
  }
}

/// Fetches a query or a key for the products: rotated, rounded, multiplied by `factor`. The factor stays
/// outside the rounding because kernels apply it to the scores.
template <class Rounding, class Scalar>
void load_rotated(const Scalar* in, const Scalar* cosine, const Scalar* sine, Index half, Scalar factor,
                  Scalar* out) {
  if constexpr (std::is_same_v<Rounding, Unrounded>) {
    rotate(in, cosine, sine, half, factor, Scalar{1}, out);
  } else {
    rotate(in, cosine, sine, half, Scalar{1}, Scalar{1}, out);
#pragma omp simd
    for (Index j = 0; j < 2 * half; ++j) out[j] = Rounding::apply(out[j]) * factor;
  }
}

/// The way back for a gradient, which is overwritten: a product's result is rounded, and so is what leaves
/// the rotation.
template <class Rounding, class Scalar>
void store_rotated_back(Scalar* gradient, const Scalar* cosine, const Scalar* sine, Index half, Scalar factor,
                        Scalar* out) {
  if constexpr (std::is_same_v<Rounding, Unrounded>) {
    rotate(gradient, cosine, sine, half, factor, Scalar{-1}, out);
  } else {
#pragma omp simd
    for (Index j = 0; j < 2 * half; ++j) gradient[j] = Rounding::apply(factor * gradient[j]);
    rotate(gradient, cosine, sine, half, Scalar{1}, Scalar{-1}, out);
#pragma omp simd
    for (Index j = 0; j < 2 * half; ++j) out[j] = Rounding::apply(out[j]);
  }
}

/// to [dim, length'] = the transpose of from [length, dim'].
template <class Scalar>
void transpose(const Scalar* from, Index from_row, Index rows, Index columns, Scalar* to, Index to_row) {
  for (Index i = 0; i < rows; ++i)
    for (Index j = 0; j < columns; ++j) to[j * to_row + i] = from[i * from_row + j];
}

/// Query, scaled by 1/sqrt(head dimension), and key of one position, both rotated, and its value.
template <class Rounding, class Scalar>
void load_position(const Head& head, Index t, const Scalar* qkv, const Scalar* cosine, const Scalar* sine,
                   Scalar* q, Scalar* k, Scalar* v) {
  const Index half = head.dim / 2;
  const Scalar scale = 1 / std::sqrt(static_cast<Scalar>(head.dim));
  load_rotated<Rounding>(qkv + head.in_qkv(t, 0), cosine + t * half, sine + t * half, half, scale, q);
  load_rotated<Rounding>(qkv + head.in_qkv(t, 1), cosine + t * half, sine + t * half, half, Scalar{1}, k);
  std::copy_n(qkv + head.in_qkv(t, 2), head.dim, v);
}

template <class Scalar, class Rounding>
void attention(const Scalar* qkv, const Scalar* cosine, const Scalar* sine, AttentionShape shape, Scalar* y,
               Scalar* log_sum) {
  const Index length = padded(shape.length);
  const Index dim = padded(shape.head_dim);
#pragma omp parallel
  {
    Scratch<Scalar> scratch(4 * length * dim + kQueryBlock * (length + dim));
    Scalar* q = scratch.take(length * dim);
    Scalar* k = scratch.take(length * dim);
    Scalar* v = scratch.take(length * dim);
    Scalar* k_transposed = scratch.take(length * dim);
    Scalar* scores = scratch.take(kQueryBlock * length);
    Scalar* mixed = scratch.take(kQueryBlock * dim);
#pragma omp for schedule(static)
    for (Index index = 0; index < shape.batch * shape.heads; ++index) {
      const Head head(shape, index);
      for (Index t = 0; t < head.length; ++t) {
        load_position<Rounding>(head, t, qkv, cosine, sine, q + t * dim, k + t * dim, v + t * dim);
      }
      transpose(k, dim, head.length, head.dim, k_transposed, length);
      for (Index begin = 0; begin < length; begin += kQueryBlock) {
        const Index rows = std::min(kQueryBlock, length - begin);
        const Index keys = begin + rows;
        multiply<false>(Strided<Scalar>{q + begin * dim, dim, 1}, k_transposed, length, scores, length, rows,
                        head.dim, keys);
        Scalar inverse_sums[kQueryBlock];
        for (Index row = 0; row < rows; ++row) {
          Scalar* score = scores + row * length;
          const Index visible = std::min(begin + row + 1, head.length);
          Scalar largest = score[0];
#pragma omp simd reduction(max : largest)
          for (Index j = 0; j < visible; ++j) largest = score[j] > largest ? score[j] : largest;
          Scalar sum = 0;
#pragma omp simd reduction(+ : sum)
          for (Index j = 0; j < visible; ++j) {
            const Scalar weight = exponential(score[j] - largest);
            sum += weight;
            score[j] = Rounding::apply(weight);
          }
          std::fill(score + visible, score + keys, Scalar{0});
          inverse_sums[row] = 1 / sum;
          if (begin + row < head.length) log_sum[index * head.length + begin + row] = largest + std::log(sum);
        }
        multiply<false>(Strided<Scalar>{scores, length, 1}, v, dim, mixed, dim, rows, keys, dim);
        for (Index row = 0; row < std::min(rows, head.length - begin); ++row) {
          Scalar* out = y + head.in_output(begin + row);
          for (Index j = 0; j < head.dim; ++j)
            out[j] = Rounding::apply(mixed[row * dim + j] * inverse_sums[row]);
        }
      }
    }
  }
}

// With P = softmax(S), S = q k^T (q already scaled), O = P v:
//   dv = P^T dO,  dP = dO v^T,  dS = P * (dP - rowsum(P * dP)),  dq = dS k,  dk = dS^T q,
// then q and k are rotated back. P is recomputed from log_sum rather than kept: [length, length] per head
// would leave the cache.
template <class Scalar, class Rounding>
void attention_backward(const Scalar* dy, const Scalar* qkv, const Scalar* cosine, const Scalar* sine,
                        const Scalar* log_sum, AttentionShape shape, Scalar* dqkv) {
  const Index length = padded(shape.length);
  const Index dim = padded(shape.head_dim);
  const Index half = shape.head_dim / 2;
  const Scalar scale = 1 / std::sqrt(static_cast<Scalar>(shape.head_dim));
#pragma omp parallel
  {
    Scratch<Scalar> scratch(8 * length * dim + kQueryBlock * (2 * length + dim));
    Scalar* q = scratch.take(length * dim);
    Scalar* k = scratch.take(length * dim);
    Scalar* k_transposed = scratch.take(length * dim);
    Scalar* v = scratch.take(length * dim);
    Scalar* v_transposed = scratch.take(length * dim);
    Scalar* dout = scratch.take(length * dim);
    Scalar* dk = scratch.take(length * dim);
    Scalar* dv = scratch.take(length * dim);
    Scalar* probabilities = scratch.take(kQueryBlock * length);
    Scalar* dscores = scratch.take(kQueryBlock * length);
    Scalar* dq = scratch.take(kQueryBlock * dim);
#pragma omp for schedule(static)
    for (Index index = 0; index < shape.batch * shape.heads; ++index) {
      const Head head(shape, index);
      for (Index t = 0; t < head.length; ++t) {
        load_position<Rounding>(head, t, qkv, cosine, sine, q + t * dim, k + t * dim, v + t * dim);
        std::copy_n(dy + head.in_output(t), head.dim, dout + t * dim);
      }
      transpose(k, dim, head.length, head.dim, k_transposed, length);
      transpose(v, dim, head.length, head.dim, v_transposed, length);
      std::fill_n(dk, length * dim, Scalar{0});
      std::fill_n(dv, length * dim, Scalar{0});
      for (Index begin = 0; begin < length; begin += kQueryBlock) {
        const Index rows = std::min(kQueryBlock, length - begin);
        const Index keys = begin + rows;
        const Scalar* q_block = q + begin * dim;
        const Scalar* dout_block = dout + begin * dim;
        multiply<false>(Strided<Scalar>{q_block, dim, 1}, k_transposed, length, probabilities, length, rows,
                        head.dim, keys);
        multiply<false>(Strided<Scalar>{dout_block, dim, 1}, v_transposed, length, dscores, length, rows,
                        head.dim, keys);
        for (Index row = 0; row < rows; ++row) {
          Scalar* p = probabilities + row * length;
          Scalar* d = dscores + row * length;
          const Index visible = begin + row < head.length ? begin + row + 1 : 0;
          const Scalar shift = visible > 0 ? log_sum[index * head.length + begin + row] : Scalar{0};
          Scalar dot = 0;
#pragma omp simd reduction(+ : dot)
          for (Index j = 0; j < visible; ++j) {
            p[j] = exponential(p[j] - shift);
            dot += p[j] * d[j];
          }
#pragma omp simd
          for (Index j = 0; j < visible; ++j) {
            d[j] = Rounding::apply(p[j] * (d[j] - dot));
            p[j] = Rounding::apply(p[j]);
          }
          std::fill(p + visible, p + keys, Scalar{0});
          std::fill(d + visible, d + keys, Scalar{0});
        }
        multiply<true>(Strided<Scalar>{probabilities, 1, length}, dout_block, dim, dv, dim, keys, rows, dim);
        multiply<true>(Strided<Scalar>{dscores, 1, length}, q_block, dim, dk, dim, keys, rows, dim);
        multiply<false>(Strided<Scalar>{dscores, length, 1}, k, dim, dq, dim, rows, keys, dim);
        for (Index row = 0; row < std::min(rows, head.length - begin); ++row) {
          const Index t = begin + row;
          store_rotated_back<Rounding>(dq + row * dim, cosine + t * half, sine + t * half, half, scale,
                                       dqkv + head.in_qkv(t, 0));
        }
      }
      for (Index t = 0; t < head.length; ++t) {
        store_rotated_back<Rounding>(dk + t * dim, cosine + t * half, sine + t * half, half, Scalar{1},
                                     dqkv + head.in_qkv(t, 1));
        for (Index j = 0; j < head.dim; ++j) dqkv[head.in_qkv(t, 2) + j] = Rounding::apply(dv[t * dim + j]);
      }
    }
  }
}

}  // namespace gradstab::lab::GRADSTAB_KERNEL_SET
