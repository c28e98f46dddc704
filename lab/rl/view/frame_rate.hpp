// How often what moves is looked at: often enough for an eye.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

namespace gradstab::lab::rl {

/// Steps from one picture to the next, so that they are at least 0.04 seconds apart.
inline std::int64_t steps_per_frame(double step_seconds) {
  constexpr double kLeastFrameSeconds = 0.04;
  return std::max<std::int64_t>(1, std::llround(std::ceil(kLeastFrameSeconds / step_seconds - 1e-9)));
}

}  // namespace gradstab::lab::rl
