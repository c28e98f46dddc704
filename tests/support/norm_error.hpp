// How far norms and factors may lie apart because of rounding.
#pragma once

#include <cstddef>

namespace gradstab::testing {

/// Half the distance from 1 to the next double.
inline constexpr double kRoundoff = 0x1p-53;

/// Relative error of a norm of `count` elements: of a sum of squares in double, in any order, and its root.
inline double norm_error(std::size_t count) {
  return (0.5 * static_cast<double>(count) + 3.0) * kRoundoff;
}

/// Relative distance of two factors decided on histories of norms that differ by `norm_error` at most: the
/// mean, the root and the norm itself pass it on once each, and deciding rounds a few dozen times.
inline double factor_error(std::size_t count) {
  return 3.0 * norm_error(count) + 60.0 * kRoundoff;
}

}  // namespace gradstab::testing
