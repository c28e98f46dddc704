// Norm over all tensors as one vector, from the norms of each.
#pragma once

#include <cmath>
#include <span>

#include "gradstab/report.hpp"

namespace gradstab {

/// Euclidean norm of the norms that `value(report)` yields. Divides by the largest first, so that norms whose
/// squares leave the range of a double still add up.
template <class Value>
double root_of_squares(std::span<const TensorReport> reports, Value value) noexcept {
  double largest = 0.0;
  for (const TensorReport& report : reports) {
    const double norm = value(report);
    if (std::isnan(norm)) return norm;
    largest = std::fmax(largest, norm);
  }
  if (largest == 0.0 || std::isinf(largest)) return largest;
  // A power of two, so that dividing changes no digit and scaled gradients have an exactly scaled global
  // norm.
  const int exponent = std::ilogb(largest);
  const bool safe = exponent > -400 && exponent < 400;
  double sum = 0.0;
  for (const TensorReport& report : reports) {
    const double norm = safe ? value(report) : std::ldexp(value(report), -exponent);
    sum += norm * norm;
  }
  return safe ? std::sqrt(sum) : std::ldexp(std::sqrt(sum), exponent);
}

/// Global norm after the factors decided so far, over the tensors that have a gradient.
inline double global_norm(std::span<const TensorReport> reports) noexcept {
  return root_of_squares(reports,
                         [](const TensorReport& report) { return report.present ? report.norm() : 0.0; });
}

}  // namespace gradstab
