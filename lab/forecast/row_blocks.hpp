// Matrices with many rows and few columns, a block of rows at a time, for encoder_kernels.cpp.
//
// Included only by what is compiled once per instruction set, into the namespace of that set.
#pragma once

#include <algorithm>
#include <cstdint>

#include "lab/nn/cpu_matrix.hpp"

namespace gradstab::lab::forecast::GRADSTAB_KERNEL_SET {

using lab::GRADSTAB_KERNEL_SET::Index;
using lab::GRADSTAB_KERNEL_SET::multiply;
using lab::GRADSTAB_KERNEL_SET::padded;
using lab::GRADSTAB_KERNEL_SET::Scratch;
using lab::GRADSTAB_KERNEL_SET::Strided;

/// Rows that go through a block together: what is between its steps stays in the cache.
constexpr Index kBlockRows = 32;
/// Rows whose weight gradients one thread sums. The sums of the parts are added in order, so that they are
/// the same for any number of threads.
constexpr Index kPartRows = 1024;

/// Copies the first `columns` of each of `rows` rows; what else `to` holds is left alone.
template <class Scalar>
void copy_rows(const Scalar* from, Index from_row, Index rows, Index columns, Scalar* to, Index to_row) {
  for (Index i = 0; i < rows; ++i) std::copy_n(from + i * from_row, columns, to + i * to_row);
}

/// sums[j] += the sum of column j of rows [rows, row_size].
template <class Scalar>
void add_columns(const Scalar* rows, Index count, Index row_size, Index columns, Scalar* sums) {
  for (Index i = 0; i < count; ++i)
#pragma omp simd
    for (Index j = 0; j < columns; ++j) sums[j] += rows[i * row_size + j];
}

/// The first part of `sums` becomes the sum of all `parts`, each `size` long, added in order.
template <class Scalar>
void add_parts(Scalar* sums, Index parts, Index size) {
  for (Index part = 1; part < parts; ++part)
#pragma omp simd
    for (Index i = 0; i < size; ++i) sums[i] += sums[part * size + i];
}

}  // namespace gradstab::lab::forecast::GRADSTAB_KERNEL_SET
