// Intervals and power of a mean over few seeds, by Student's t distribution.
#pragma once

#include <cstddef>
#include <limits>

namespace gradstab::lab {

/// The chance that an interval misses the true mean.
inline constexpr double kErrorRate = 0.05;

/// The value that Student's t with these degrees of freedom exceeds with a probability of `upper_tail`; NaN
/// without degrees of freedom.
double t_quantile(std::size_t degrees_of_freedom, double upper_tail);

/// An interval of a mean; without bounds where nothing is known.
struct Interval {
  double low = -std::numeric_limits<double>::infinity();
  double high = std::numeric_limits<double>::infinity();

  bool is_known() const noexcept;  ///< both ends are finite
  bool empty() const noexcept { return low > high; }
  Interval intersected(const Interval& other) const noexcept;
};

/// Of the mean of `count` values with this mean and standard deviation (n - 1), which misses the true mean
/// with a probability of `error_rate`. Unbounded for fewer than two values.
Interval interval_of_mean(double mean, double deviation, std::size_t count, double error_rate);

/// The true mean that `count` values with this standard deviation show to be different from zero with a
/// probability of 80 %, by Student's t in place of its non-central form. NaN for fewer than two values.
double detectable_mean(double deviation, std::size_t count, double error_rate);

}  // namespace gradstab::lab
