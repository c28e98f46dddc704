// A linear layer between few features, of many rows, forward and backward, for encoder_kernels.cpp.
//
// Included only by what is compiled once per instruction set, into the namespace of that set.
#pragma once

#include <algorithm>
#include <cstdint>

#include "lab/forecast/encoder_kernels.hpp"
#include "lab/forecast/row_blocks.hpp"

namespace gradstab::lab::forecast::GRADSTAB_KERNEL_SET {

template <class Scalar>
void linear(const Scalar* x, const Scalar* weight, const Scalar* bias, LinearShape shape, Scalar* y) {
  const Index in = padded(shape.in);
  const Index out = padded(shape.out);
  Scratch<Scalar> weights((in + 1) * out);
  Scalar* const transposed = weights.take(in * out);
  Scalar* const biases = weights.take(out);
  for (Index o = 0; o < shape.out; ++o)
    for (Index i = 0; i < shape.in; ++i) transposed[i * out + o] = weight[o * shape.in + i];
  std::copy_n(bias, shape.out, biases);
#pragma omp parallel
  {
    Scratch<Scalar> scratch(kBlockRows * (in + out));
    Scalar* from = scratch.take(kBlockRows * in);
    Scalar* to = scratch.take(kBlockRows * out);
#pragma omp for schedule(static)
    for (Index begin = 0; begin < shape.rows; begin += kBlockRows) {
      const Index rows = std::min(kBlockRows, shape.rows - begin);
      copy_rows(x + begin * shape.in, shape.in, rows, shape.in, from, in);
      for (Index row = 0; row < kBlockRows; ++row) std::copy_n(biases, out, to + row * out);
      multiply<true>(Strided<Scalar>{from, in, 1}, transposed, out, to, out, kBlockRows, shape.in, out);
      copy_rows(to, out, rows, shape.out, y + begin * shape.out, shape.out);
    }
  }
}

// dx = dy W,  dW = dy^T x,  db = the sum of the rows of dy.
template <class Scalar>
void linear_backward(const Scalar* dy, const Scalar* x, const Scalar* weight, LinearShape shape, Scalar* dx,
                     Scalar* dweight, Scalar* dbias) {
  const Index in = padded(shape.in);
  const Index out = padded(shape.out);
  const Index parts = (shape.rows + kPartRows - 1) / kPartRows;
  const Index part_size = (in + 1) * out;
  Scratch<Scalar> memory(out * in + parts * part_size);
  Scalar* const weights = memory.take(out * in);
  Scalar* const part_sums = memory.take(parts * part_size);
  copy_rows(weight, shape.in, shape.out, shape.in, weights, in);
#pragma omp parallel
  {
    Scratch<Scalar> scratch(kBlockRows * (2 * in + out));
    Scalar* from = scratch.take(kBlockRows * in);
    Scalar* back = scratch.take(kBlockRows * in);
    Scalar* gradient = scratch.take(kBlockRows * out);
#pragma omp for schedule(static)
    for (Index part = 0; part < parts; ++part) {
      Scalar* const sums = part_sums + part * part_size;
      Scalar* const bias_sums = sums + out * in;
      const Index end = std::min(shape.rows, (part + 1) * kPartRows);
      for (Index begin = part * kPartRows; begin < end; begin += kBlockRows) {
        const Index rows = std::min(kBlockRows, end - begin);
        copy_rows(x + begin * shape.in, shape.in, rows, shape.in, from, in);
        copy_rows(dy + begin * shape.out, shape.out, rows, shape.out, gradient, out);
        // Rows of the last block that are not there give no gradient.
        std::fill(from + rows * in, from + kBlockRows * in, Scalar{0});
        std::fill(gradient + rows * out, gradient + kBlockRows * out, Scalar{0});
        multiply<true>(Strided<Scalar>{gradient, 1, out}, from, in, sums, in, out, kBlockRows, in);
        add_columns(gradient, rows, out, shape.out, bias_sums);
        if (dx == nullptr) continue;
        multiply<false>(Strided<Scalar>{gradient, out, 1}, weights, in, back, in, kBlockRows, shape.out, in);
        copy_rows(back, in, rows, shape.in, dx + begin * shape.in, shape.in);
      }
    }
  }
  add_parts(part_sums, parts, part_size);
  copy_rows(part_sums, in, shape.out, shape.in, dweight, shape.in);
  std::copy_n(part_sums + out * in, shape.out, dbias);
}

}  // namespace gradstab::lab::forecast::GRADSTAB_KERNEL_SET
