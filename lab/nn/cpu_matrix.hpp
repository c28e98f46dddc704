// Products of small matrices, and the memory for them, for kernels that are compiled once per instruction
// set.
//
// Included only by what is compiled so, into the namespace of that set.
#pragma once

#include <cstdint>
#include <memory>

namespace gradstab::lab::GRADSTAB_KERNEL_SET {

using Index = std::int64_t;

#if defined(__AVX512F__)
constexpr int kVectorBytes = 64;
#elif defined(__AVX2__)
constexpr int kVectorBytes = 32;
#else
constexpr int kVectorBytes = 16;
#endif
template <class Scalar>
struct VectorOf;
template <>
struct VectorOf<float> {
  typedef float type __attribute__((vector_size(kVectorBytes), aligned(4), may_alias));
};
template <>
struct VectorOf<double> {
  typedef double type __attribute__((vector_size(kVectorBytes), aligned(8), may_alias));
};

/// Scratch matrices are padded with zeros to multiples of this in both directions, so that tiles need no
/// remainder.
constexpr Index kPad = 16;
constexpr Index padded(Index n) {
  return (n + kPad - 1) / kPad * kPad;
}

/// A matrix seen through two strides, which makes a transposed one as good as any.
template <class Scalar>
struct Strided {
  const Scalar* data;
  Index row, column;
};

/// What `multiply` does for the columns of `vectors` vectors of c, from column j on.
template <bool accumulate, Index vectors, class Scalar>
void multiply_columns(Strided<Scalar> a, const Scalar* b, Index b_row, Scalar* c, Index c_row, Index m,
                      Index k, Index j) {
  using Vector = typename VectorOf<Scalar>::type;
  constexpr Index kLanes = kVectorBytes / static_cast<Index>(sizeof(Scalar));
  for (Index i = 0; i < m; i += 4) {
    Vector sum[4][vectors];
#pragma GCC unroll 4
    for (Index row = 0; row < 4; ++row) {
      const Scalar* old = c + (i + row) * c_row + j;
#pragma GCC unroll 2
      for (Index v = 0; v < vectors; ++v)
        sum[row][v] = accumulate ? *reinterpret_cast<const Vector*>(old + v * kLanes) : Vector{};
    }
    const Scalar* left = a.data + i * a.row;
    const Scalar* right = b + j;
    for (Index p = 0; p < k; ++p, left += a.column, right += b_row) {
      Vector factor[vectors];
#pragma GCC unroll 2
      for (Index v = 0; v < vectors; ++v) factor[v] = *reinterpret_cast<const Vector*>(right + v * kLanes);
#pragma GCC unroll 4
      for (Index row = 0; row < 4; ++row)
#pragma GCC unroll 2
        for (Index v = 0; v < vectors; ++v) sum[row][v] += left[row * a.row] * factor[v];
    }
#pragma GCC unroll 4
    for (Index row = 0; row < 4; ++row) {
      Scalar* out = c + (i + row) * c_row + j;
#pragma GCC unroll 2
      for (Index v = 0; v < vectors; ++v) *reinterpret_cast<Vector*>(out + v * kLanes) = sum[row][v];
    }
  }
}

/// c [m, n] = a [m, k] * b [k, n], or += with `accumulate`. Rows of b and c are dense; m is a multiple of 4,
/// n of kPad. Four rows by two vectors of sums live in registers: eight independent chains hide the latency
/// of the FMA.
template <bool accumulate, class Scalar>
void multiply(Strided<Scalar> a, const Scalar* b, Index b_row, Scalar* c, Index c_row, Index m, Index k,
              Index n) {
  constexpr Index kLanes = kVectorBytes / static_cast<Index>(sizeof(Scalar));
  static_assert(kPad % kLanes == 0);
  Index j = 0;
  for (; j + 2 * kLanes <= n; j += 2 * kLanes)
    multiply_columns<accumulate, 2>(a, b, b_row, c, c_row, m, k, j);
  if constexpr (kPad % (2 * kLanes) != 0)
    if (j < n) multiply_columns<accumulate, 1>(a, b, b_row, c, c_row, m, k, j);
}

/// Zeroed working memory of one thread, handed out in pieces.
template <class Scalar>
class Scratch {
 public:
  explicit Scratch(Index size) : memory_(new Scalar[static_cast<std::size_t>(size)]()) {}
  Scalar* take(Index size) {
    used_ += size;
    return memory_.get() + used_ - size;
  }

 private:
  std::unique_ptr<Scalar[]> memory_;
  Index used_ = 0;
};

}  // namespace gradstab::lab::GRADSTAB_KERNEL_SET
