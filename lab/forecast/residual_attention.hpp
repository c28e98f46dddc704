// Attention with scores added up over layers, forward and backward, for encoder_kernels.cpp.
//
// Included only by what is compiled once per instruction set, into the namespace of that set.
//
// The sum of the layers' scores is one product: of all their queries side by side with all their keys. So no
// [length, length] matrix leaves the first cache, and none is kept for the backward pass. The lanes of a
// vector are queries: scores of one key with several queries at a time, so that softmax needs no sums across
// lanes. Features go through the loops in fours and keys in fours, so that what is summed stays in registers;
// zeros fill up what is missing.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "lab/forecast/encoder_kernels.hpp"
#include "lab/nn/cpu_elementary.hpp"
#include "lab/nn/cpu_matrix.hpp"

namespace gradstab::lab::forecast::GRADSTAB_KERNEL_SET {

using lab::GRADSTAB_KERNEL_SET::exponential;
using lab::GRADSTAB_KERNEL_SET::Index;
using lab::GRADSTAB_KERNEL_SET::Scratch;

/// Queries handled together.
template <class Scalar>
inline constexpr Index kLanes = lab::GRADSTAB_KERNEL_SET::kVectorBytes / static_cast<Index>(sizeof(Scalar));

/// One value for each of kLanes queries.
template <class Scalar>
using Lanes = typename lab::GRADSTAB_KERNEL_SET::VectorOf<Scalar>::type;

template <class Scalar>
Lanes<Scalar> load(const Scalar* from) {
  return *reinterpret_cast<const Lanes<Scalar>*>(from);
}
template <class Scalar>
void store(Lanes<Scalar> value, Scalar* to) {
  *reinterpret_cast<Lanes<Scalar>*>(to) = value;
}

/// Features, and keys, that a loop handles together.
constexpr Index kGroup = 4;
constexpr Index in_groups(Index count) {
  return (count + kGroup - 1) / kGroup * kGroup;
}

/// Calls body(d) for d from 0 to count - 1. Where count is that of a group, the compiler knows it.
template <class Body>
void in_group(Index count, const Body& body) {
  if (count >= kGroup) {
#pragma GCC unroll 4
    for (Index d = 0; d < kGroup; ++d) body(d);
  } else {
    for (Index d = 0; d < count; ++d) body(d);
  }
}

/// One head of one series: where its numbers are, and working memory for them. Sizes are those with what
/// fills up groups and lanes.
template <class Scalar>
struct AttentionHead {
  static constexpr Index kWide = kLanes<Scalar>;
  /// The smallest vector that every processor has, for sums across lanes.
  static constexpr Index kFewBytes = 16;
  static constexpr Index kFew = kFewBytes / static_cast<Index>(sizeof(Scalar));
  typedef Scalar FewLanes __attribute__((vector_size(kFewBytes), aligned(alignof(Scalar)), may_alias));

  Index length, dim;         // as they are
  Index keys;                // length in groups
  Index dims, features;      // dim in groups; those of all layers side by side
  Index blocks;              // of kLanes queries
  Scalar *q, *dout;          // [blocks][features or dims][lanes], queries scaled by 1/sqrt(dim)
  Scalar *k, *v;             // [keys][features or dims]
  Scalar *weights, *scores;  // [blocks][keys][lanes]: softmax and its gradient, and scores on the way there
  Index row = 0, column = 0, width = 0;  // of projections: first row, first feature; features of all heads

  static Index blocks_of(const AttentionShape& shape) { return (shape.length + kWide - 1) / kWide; }
  static Index scratch_size(const AttentionShape& shape) {
    const Index dims = in_groups(shape.head_dim);
    const Index keys = in_groups(shape.length);
    return (shape.layers + 1) * dims * (blocks_of(shape) * kWide + keys) +
           2 * blocks_of(shape) * keys * kWide;
  }

  AttentionHead(const AttentionShape& shape, Scratch<Scalar>& scratch)
      : length(shape.length),
        dim(shape.head_dim),
        keys(in_groups(shape.length)),
        dims(in_groups(shape.head_dim)),
        features(shape.layers * dims),
        blocks(blocks_of(shape)),
        q(scratch.take(blocks * features * kWide)),
        dout(scratch.take(blocks * dims * kWide)),
        k(scratch.take(keys * features)),
        v(scratch.take(keys * dims)),
        weights(scratch.take(blocks * keys * kWide)),
        scores(scratch.take(blocks * keys * kWide)),
        width(shape.heads * shape.head_dim) {}

  /// Reads queries, keys and values. What fills up groups and lanes stays zero.
  void read(const Scalar* const* projections, const AttentionShape& shape, Index index) {
    row = index / shape.heads * length;
    column = index % shape.heads * dim;
    const Scalar scale = 1 / std::sqrt(static_cast<Scalar>(dim));
    for (Index layer = 0; layer < shape.layers; ++layer) {
      for (Index t = 0; t < length; ++t) {
        const Scalar* in = projections[layer] + (row + t) * 3 * width + column;
        // Of the next series. Rows are read in pieces, which processors do not foresee.
        __builtin_prefetch(in + length * 3 * width, 0, 2);
        __builtin_prefetch(in + length * 3 * width + width, 0, 2);
        Scalar* to_q = q + (t / kWide * features + layer * dims) * kWide + t % kWide;
        Scalar* to_k = k + t * features + layer * dims;
        for (Index first = 0; first < dim; first += kGroup)
          in_group(dim - first,
                   [&, in = in + first, to_q = to_q + first * kWide, to_k = to_k + first](Index d) {
                     to_q[d * kWide] = in[d] * scale;
                     to_k[d] = in[width + d];
                   });
      }
    }
    for (Index t = 0; t < length; ++t)
      for (Index first = 0; first < dim; first += kGroup)
        in_group(dim - first,
                 [in = projections[shape.layers - 1] + (row + t) * 3 * width + 2 * width + column + first,
                  to = v + t * dims + first](Index d) { to[d] = in[d]; });
  }

  /// result[j] [keys][lanes] = the products of row j of `rows` [keys][size] with `block` [size][lanes].
  void products(const Scalar* rows, const Scalar* block, Index size, Scalar* result) const {
    for (Index j = 0; j < keys; j += kGroup) {
      const Scalar* r = rows + j * size;
      Lanes<Scalar> s0 = {}, s1 = {}, s2 = {}, s3 = {};
      for (Index f = 0; f < size; ++f) {
        const Lanes<Scalar> b = load(block + f * kWide);
        s0 += r[f] * b;
        s1 += r[size + f] * b;
        s2 += r[2 * size + f] * b;
        s3 += r[3 * size + f] * b;
      }
      store(s0, result + j * kWide);
      store(s1, result + (j + 1) * kWide);
      store(s2, result + (j + 2) * kWide);
      store(s3, result + (j + 3) * kWide);
    }
  }

  /// Features f to f + 3 of the sums over keys j of factors[j] [lanes] times row j of `rows` [.][size].
  struct Mixed {
    Lanes<Scalar> sum[kGroup];
  };
  Mixed mix(const Scalar* factors, const Scalar* rows, Index size, Index f) const {
    Lanes<Scalar> s0 = {}, s1 = {}, s2 = {}, s3 = {};
    for (Index j = 0; j < length; ++j) {
      const Lanes<Scalar> factor = load(factors + j * kWide);
      const Scalar* r = rows + j * size + f;
      s0 += r[0] * factor;
      s1 += r[1] * factor;
      s2 += r[2] * factor;
      s3 += r[3] * factor;
    }
    return {{s0, s1, s2, s3}};
  }

  /// to[0..count), 4 at most = features f to f + 3 of the sum over all queries of key j's factor in each, of
  /// `factors` [blocks][keys][lanes], times what the query has in `columns` [blocks][size][lanes].
  void gather(const Scalar* factors, Index j, const Scalar* columns, Index size, Index f, Index count,
              Scalar* to) const {
    Lanes<Scalar> s0 = {}, s1 = {}, s2 = {}, s3 = {};
    for (Index block = 0; block < blocks; ++block) {
      const Lanes<Scalar> factor = load(factors + (block * keys + j) * kWide);
      const Scalar* column_of = columns + (block * size + f) * kWide;
      s0 += factor * load(column_of);
      s1 += factor * load(column_of + kWide);
      s2 += factor * load(column_of + 2 * kWide);
      s3 += factor * load(column_of + 3 * kWide);
    }
    Scalar lanes[kGroup * kWide];
    store(s0, lanes);
    store(s1, lanes + kWide);
    store(s2, lanes + 2 * kWide);
    store(s3, lanes + 3 * kWide);
    in_group(count, [&](Index d) {
      const Scalar* part = lanes + d * kWide;
      FewLanes sum = *reinterpret_cast<const FewLanes*>(part);
      for (Index lane = kFew; lane < kWide; lane += kFew)
        sum += *reinterpret_cast<const FewLanes*>(part + lane);
      if constexpr (kFew == 4) {
        to[d] = (sum[0] + sum[1]) + (sum[2] + sum[3]);
      } else {
        to[d] = sum[0] + sum[1];
      }
    });
  }
};

template <class Scalar>
void attention(const Scalar* const* projections, AttentionShape shape, Scalar* y, Scalar* log_sum) {
  constexpr Index kWide = kLanes<Scalar>;
#pragma omp parallel
  {
    Scratch<Scalar> scratch(AttentionHead<Scalar>::scratch_size(shape));
    AttentionHead<Scalar> head(shape, scratch);
#pragma omp for schedule(static)
    for (Index index = 0; index < shape.series * shape.heads; ++index) {
      head.read(projections, shape, index);
      for (Index block = 0; block < head.blocks; ++block) {
        Scalar* const scores = head.scores;
        head.products(head.k, head.q + block * head.features * kWide, head.features, scores);
        Scalar largest[kWide];
        std::copy_n(scores, kWide, largest);
        for (Index j = 1; j < head.length; ++j) {
#pragma omp simd
          for (Index lane = 0; lane < kWide; ++lane) {
            const Scalar score = scores[j * kWide + lane];
            largest[lane] = score > largest[lane] ? score : largest[lane];
          }
        }
        for (Index j = 0; j < head.length; ++j) {
#pragma omp simd
          for (Index lane = 0; lane < kWide; ++lane)
            scores[j * kWide + lane] = exponential(scores[j * kWide + lane] - largest[lane]);
        }
        Lanes<Scalar> sums = {};
        for (Index j = 0; j < head.length; ++j) sums += load(scores + j * kWide);
        Scalar sum[kWide];
        store(sums, sum);
        const Index queries = std::min(kWide, head.length - block * kWide);
        for (Index lane = 0; lane < queries; ++lane)
          log_sum[index * head.length + block * kWide + lane] = largest[lane] + std::log(sum[lane]);
        for (Index d = 0; d < head.dim; d += kGroup) {
          const auto mixed = head.mix(scores, head.v, head.dims, d);
          Scalar out[kGroup][kWide];
          for (Index i = 0; i < kGroup; ++i) store(mixed.sum[i] / sums, out[i]);
          for (Index lane = 0; lane < queries; ++lane)
            in_group(head.dim - d, [&, to = y + (head.row + block * kWide + lane) * head.width + head.column +
                                            d](Index i) { to[i] = out[i][lane]; });
        }
      }
    }
  }
}

// With P = softmax(S): dv = P^T dO,  dP = dO v^T,  dS = P * (dP - rowsum(P * dP)),  dq = dS k,  dk = dS^T q.
// P is computed again from log_sum.
template <class Scalar>
void attention_backward(const Scalar* dy, const Scalar* const* projections, const Scalar* log_sum,
                        AttentionShape shape, Scalar* const* dprojections) {
  constexpr Index kWide = kLanes<Scalar>;
#pragma omp parallel
  {
    Scratch<Scalar> scratch(AttentionHead<Scalar>::scratch_size(shape));
    AttentionHead<Scalar> head(shape, scratch);
#pragma omp for schedule(static)
    for (Index index = 0; index < shape.series * shape.heads; ++index) {
      head.read(projections, shape, index);
      const Index width = head.width;
      for (Index t = 0; t < head.length; ++t)
        for (Index first = 0; first < head.dim; first += kGroup)
          in_group(head.dim - first, [in = dy + (head.row + t) * width + head.column + first,
                                      to = head.dout + (t / kWide * head.dims + first) * kWide +
                                           t % kWide](Index d) { to[d * kWide] = in[d]; });
      const Scalar scale = 1 / std::sqrt(static_cast<Scalar>(head.dim));
      for (Index block = 0; block < head.blocks; ++block) {
        Scalar* const p = head.weights + block * head.keys * kWide;
        Scalar* const ds = head.scores + block * head.keys * kWide;
        const Index queries = std::min(kWide, head.length - block * kWide);
        // A lane beyond the last query has no gradient to give, whatever its probabilities are.
        Scalar shift[kWide] = {};
        std::copy_n(log_sum + index * head.length + block * kWide, queries, shift);
        head.products(head.k, head.q + block * head.features * kWide, head.features, p);
        head.products(head.v, head.dout + block * head.dims * kWide, head.dims, ds);
        for (Index j = 0; j < head.length; ++j) {
#pragma omp simd
          for (Index lane = 0; lane < kWide; ++lane)
            p[j * kWide + lane] = exponential(p[j * kWide + lane] - shift[lane]);
        }
        Lanes<Scalar> dot = {};
        for (Index j = 0; j < head.length; ++j) dot += load(p + j * kWide) * load(ds + j * kWide);
        for (Index j = 0; j < head.length; ++j)
          store(load(p + j * kWide) * (load(ds + j * kWide) - dot), ds + j * kWide);
        for (Index layer = 0; layer < shape.layers; ++layer)
          for (Index d = 0; d < head.dim; d += kGroup) {
            const auto dq = head.mix(ds, head.k, head.features, layer * head.dims + d);
            Scalar out[kGroup][kWide];
            for (Index i = 0; i < kGroup; ++i) store(scale * dq.sum[i], out[i]);
            for (Index lane = 0; lane < queries; ++lane)
              in_group(head.dim - d,
                       [&, to = dprojections[layer] + (head.row + block * kWide + lane) * 3 * width +
                                head.column + d](Index i) { to[i] = out[i][lane]; });
          }
      }
      for (Index layer = 0; layer < shape.layers; ++layer) {
        const bool last = layer + 1 == shape.layers;
        for (Index t = 0; t < head.length; ++t) {
          Scalar* to = dprojections[layer] + (head.row + t) * 3 * width + head.column;
          for (Index d = 0; d < head.dim; d += kGroup) {
            const Index count = head.dim - d;
            head.gather(head.scores, t, head.q, head.features, layer * head.dims + d, count, to + width + d);
            if (last) {
              head.gather(head.weights, t, head.dout, head.dims, d, count, to + 2 * width + d);
            } else {
              in_group(count, [&](Index i) { to[2 * width + d + i] = Scalar{0}; });
            }
          }
        }
      }
    }
  }
}

}  // namespace gradstab::lab::forecast::GRADSTAB_KERNEL_SET
