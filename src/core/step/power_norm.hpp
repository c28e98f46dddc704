// p-norms, for any p of at least 1, over the whole range of a double.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <vector>

#include "core/base/floating_point.hpp"
#include "core/step/gradient_memory.hpp"

namespace gradstab {

/// The exponent of the power of two that elements up to `largest` are divided by before they are raised to a
/// power.
inline int power_exponent(double largest) noexcept {
  return largest > 0.0 && detail::is_finite(largest) ? std::ilogb(largest) : 0;
}

/// Sum of |x / 2^exponent|^p over a piece, in its order. Scalar on every backend: p-norms other than 2 and
/// infinity are rare, and a power costs more than reading does.
double power_sum(const GradientView& gradient, Piece piece, double p, int exponent) noexcept;

/// The p-norm of `count` non-negative numbers, the i-th of which is `value_at(i)`; NaN if one is NaN.
template <class ValueAt>
double root_of_powers(std::size_t count, double p, ValueAt value_at) noexcept {
  double largest = 0.0;
  for (std::size_t i = 0; i < count; ++i) {
    const double value = value_at(i);
    if (detail::is_nan(value)) return value;
    largest = std::fmax(largest, value);
  }
  if (largest == 0.0 || detail::is_infinite(largest)) return largest;
  const int exponent = power_exponent(largest);
  double sum = 0.0;
  for (std::size_t i = 0; i < count; ++i) sum += std::pow(std::ldexp(value_at(i), -exponent), p);
  return std::ldexp(std::pow(sum, 1.0 / p), exponent);
}

/// The p-norms that the links of a chain ask for: sums of blocks, then norms of segments.
class PowerNorms {
 public:
  /// Allocates for `powers`, in any order and with repetitions.
  void bind(std::vector<double> powers, std::size_t segments, std::size_t blocks);

  bool empty() const noexcept { return powers_.empty(); }

  /// Of one block whose largest absolute value is known.
  void measure_block(std::size_t block, const GradientView& gradient, Piece piece, double largest) noexcept;
  /// Adds the blocks [begin, end) of a segment, `largest` being the largest absolute value of each block.
  void finish_segment(std::size_t segment, std::size_t begin, std::size_t end,
                      std::span<const double> largest) noexcept;

  /// Norms of all segments for this p; empty unless it was bound.
  std::span<const double> norms(double p) const noexcept;

 private:
  std::vector<double> powers_;
  std::size_t segments_ = 0;
  std::size_t blocks_ = 0;
  std::vector<double> norms_;  // by power, then segment
  std::vector<double> sums_;   // by power, then block
};

}  // namespace gradstab
