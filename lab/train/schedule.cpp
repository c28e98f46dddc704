#include "lab/train/schedule.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace gradstab::lab {

double CosineSchedule::at(std::int64_t k) const noexcept {
  if (k < warmup) return peak * static_cast<double>(k) / static_cast<double>(warmup);
  const auto length = static_cast<double>(std::max<std::int64_t>(steps - warmup, 1));
  const double progress = std::min(static_cast<double>(k - warmup) / length, 1.0);
  return peak * (min_ratio + (1.0 - min_ratio) * 0.5 * (1.0 + std::cos(std::numbers::pi * progress)));
}

}  // namespace gradstab::lab
