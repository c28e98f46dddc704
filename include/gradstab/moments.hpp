// NormMoments: all that GradientStabilizer remembers of one tensor.
#pragma once

#include <cstdint>

namespace gradstab {

/// Running moments of one unit's gradient norm. Plain data: copying it is checkpointing it.
///
/// The first moment is `first` * 2^`exponent`, the second `second` * 2^(2 * `exponent`). The exponent is 0
/// except for norms beyond 2^±400, which only float64 gradients reach; it keeps the square of such a norm
/// representable.
struct NormMoments {
  double first = 0.0;   ///< decayed mean of the norm, not bias-corrected
  double second = 0.0;  ///< decayed mean of the squared norm, not bias-corrected
  /// Norms that entered the moments. With robust moments and bias correction it starts afresh, at
  /// kRobustPatience, where a lasting change of scale is adopted.
  std::int64_t step = 0;
  std::int64_t nonfinite = 0;  ///< steps skipped because the gradient held NaN or Inf
  std::int64_t zeros = 0;      ///< steps skipped because the gradient was all zero
  std::int32_t exponent = 0;

  // Used only by robust moments.
  std::int32_t streak = 0;   ///< consecutive norms far above the moments; negative: far below
  double streak_norm = 0.0;  ///< of the norms of the streak, the one nearest to the moments

  bool operator==(const NormMoments&) const = default;
};

}  // namespace gradstab
