// Small sums that several rooms need.
#pragma once

#include <cstdint>

namespace gradstab::lab {

/// count / by, rounded up; both above 0 or count 0.
constexpr std::int64_t divided_up(std::int64_t count, std::int64_t by) noexcept {
  return (count + by - 1) / by;
}

}  // namespace gradstab::lab
