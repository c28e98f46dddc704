// The Euclidean norm of norms.
#pragma once

#include <cmath>
#include <cstddef>

#include "core/base/floating_point.hpp"

namespace gradstab {

/// Euclidean norm of `count` norms, the i-th of which is `norm_at(i)`. Divides by the largest first, so that
/// norms whose squares leave the range of a double still add up.
template <class NormAt>
double root_of_squares(std::size_t count, NormAt norm_at) noexcept {
  double largest = 0.0;
  for (std::size_t i = 0; i < count; ++i) {
    const double norm = norm_at(i);
    if (detail::is_nan(norm)) return norm;
    largest = std::fmax(largest, norm);
  }
  if (largest == 0.0 || detail::is_infinite(largest)) return largest;
  // A power of two, so that dividing changes no digit and scaled gradients have an exactly scaled global
  // norm.
  const int exponent = std::ilogb(largest);
  const bool safe = exponent > -400 && exponent < 400;
  double sum = 0.0;
  for (std::size_t i = 0; i < count; ++i) {
    const double norm = safe ? norm_at(i) : std::ldexp(norm_at(i), -exponent);
    sum += norm * norm;
  }
  return safe ? std::sqrt(sum) : std::ldexp(std::sqrt(sum), exponent);
}

}  // namespace gradstab
