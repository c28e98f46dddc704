// StridedTensor: a tensor with any strides, in memory that shows whether the gaps were left alone.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "gradstab/tensor.hpp"
#include "support/gradients.hpp"

namespace gradstab::testing {

class StridedTensor {
 public:
  /// Without strides: row-major contiguous, and passed on without strides.
  StridedTensor(DType dtype, std::vector<std::int64_t> sizes, std::vector<std::int64_t> strides = {});

  /// In row-major order, rounded to the element type.
  void set(std::span<const double> values);
  Values values() const;

  /// In row-major order.
  std::byte* element(std::size_t index) { return memory_.data() + offsets_[index]; }

  /// All of it, gaps included.
  const std::vector<std::byte>& memory() const { return memory_; }
  bool gaps_intact() const;

  TensorRef ref();
  /// One index of axis 0, or the whole of a tensor of rank 0 or 1.
  TensorRef row(std::size_t index);
  std::size_t rows() const;
  std::size_t count() const { return offsets_.size(); }
  DType dtype() const { return dtype_; }

 private:
  DType dtype_;
  std::vector<std::int64_t> sizes_;
  std::vector<std::int64_t> strides_;
  std::vector<std::size_t> offsets_;  // in bytes, of the elements in row-major order
  std::vector<std::byte> memory_;
};

}  // namespace gradstab::testing
