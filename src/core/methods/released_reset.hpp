// The released Stable-SPAM counts its bias corrections together with Adam's.
#pragma once

#include <cstdint>

namespace gradstab {

/// What stands for the number of steps in the bias correction of an average that is itself never reset: at a
/// reset of Adam's moments, which comes after the average was used, it becomes 1. `interval` 0: the number of
/// steps.
constexpr std::int64_t corrected_step(std::int64_t step, std::int64_t interval) noexcept {
  return interval == 0 || step <= interval ? step : (step - 1) % interval + 2;
}

}  // namespace gradstab
