#include "lab/reproduce/student.hpp"

#include <algorithm>
#include <boost/math/distributions/students_t.hpp>
#include <cmath>

namespace gradstab::lab {

double t_quantile(std::size_t degrees_of_freedom, double upper_tail) {
  if (degrees_of_freedom == 0) return std::numeric_limits<double>::quiet_NaN();
  const boost::math::students_t distribution(static_cast<double>(degrees_of_freedom));
  return boost::math::quantile(boost::math::complement(distribution, upper_tail));
}

bool Interval::is_known() const noexcept {
  return std::isfinite(low) && std::isfinite(high);
}

Interval Interval::intersected(const Interval& other) const noexcept {
  return {std::max(low, other.low), std::min(high, other.high)};
}

Interval interval_of_mean(double mean, double deviation, std::size_t count, double error_rate) {
  if (count < 2) return {};
  const double half =
      t_quantile(count - 1, error_rate / 2) * deviation / std::sqrt(static_cast<double>(count));
  return {mean - half, mean + half};
}

double detectable_mean(double deviation, std::size_t count, double error_rate) {
  constexpr double kPower = 0.8;
  if (count < 2) return std::numeric_limits<double>::quiet_NaN();
  return (t_quantile(count - 1, error_rate / 2) + t_quantile(count - 1, 1.0 - kPower)) * deviation /
         std::sqrt(static_cast<double>(count));
}

}  // namespace gradstab::lab
