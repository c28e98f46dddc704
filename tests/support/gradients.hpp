// Gradients: tensors that a test owns, of any element type.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "gradstab/tensor.hpp"

namespace gradstab::testing {

/// One value per element, in row-major order.
using Values = std::vector<double>;

ParameterSet parameter_set(std::vector<Parameter> parameters);

/// Unnamed in the test's interest: "t0", "t1", ... of these sizes.
ParameterSet parameter_set_of_sizes(const std::vector<std::vector<std::int64_t>>& sizes);

/// `value` rounded to `dtype` once, and back.
double rounded(double value, DType dtype);

/// Relative rounding error of one operation in `dtype`, half the distance from 1 to the next number.
double unit_roundoff(DType dtype);

/// The smallest positive number of `dtype`: results below its normal range are off by up to half of it.
double smallest_positive(DType dtype);

/// Euclidean norm in extended precision, safe for the whole range of a double.
double norm_of(std::span<const double> values);

/// Normally distributed with mean 0 and this standard deviation.
Values normal_values(std::size_t count, double deviation, std::uint32_t seed);

/// Contiguous tensors in the shapes of a ParameterSet, passed to `update` as they stand.
class Gradients {
 public:
  Gradients(const ParameterSet& parameters, DType dtype);

  /// Rounds to the element type. Makes the tensor present.
  void set(std::size_t tensor, std::span<const double> values);
  void set_all(const std::vector<Values>& tensors);
  /// The tensor has no gradient until the next `set`.
  void set_absent(std::size_t tensor);

  Values values(std::size_t tensor) const;
  std::vector<Values> values() const;
  const std::vector<std::byte>& bytes(std::size_t tensor) const { return storage_[tensor]; }

  std::span<const TensorRef> refs() const { return refs_; }
  std::vector<TensorRef>& mutable_refs() { return refs_; }

 private:
  DType dtype_;
  std::vector<std::vector<std::int64_t>> sizes_;
  std::vector<std::vector<std::byte>> storage_;
  std::vector<TensorRef> refs_;
};

}  // namespace gradstab::testing
