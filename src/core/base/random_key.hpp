// Keys of the random sequences that stochastic rounding draws from.
#pragma once

#include <cstddef>
#include <cstdint>

#include "gradstab/decide.hpp"

namespace gradstab::detail {

/// A different number for every block of every step.
GRADSTAB_HOST_DEVICE inline std::uint32_t random_key(std::uint64_t seed, std::int64_t step,
                                                     std::size_t parameter, std::int64_t begin) noexcept {
  std::uint64_t x = seed;
  for (const auto part : {static_cast<std::uint64_t>(step), static_cast<std::uint64_t>(parameter),
                          static_cast<std::uint64_t>(begin)}) {
    x = (x ^ part) * 0x9E3779B97F4A7C15u;
    x ^= x >> 32;
  }
  return static_cast<std::uint32_t>(x);
}

}  // namespace gradstab::detail
