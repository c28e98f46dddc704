// Random bits of stochastic rounding. They follow from seed, draw, group and value, so that threads may share
// out the groups.
#pragma once

#include <cstdint>

namespace gradstab::lab::detail {

/// A different number for every group of every draw of a seed.
inline std::uint32_t random_key(std::uint64_t seed, std::uint64_t draw, std::uint64_t group) noexcept {
  constexpr std::uint64_t kFirst = 0;
  std::uint64_t x = seed;
  for (const std::uint64_t part : {draw, group, kFirst}) {
    x = (x ^ part) * 0x9E3779B97F4A7C15u;
    x ^= x >> 32;
  }
  return static_cast<std::uint32_t>(x);
}

/// The bits of one value: a mix of the group's key and the value's index, given as their sum.
inline std::uint32_t random_bits(std::uint32_t x) noexcept {
  x = (x ^ (x >> 16)) * 0x7FEB352Du;
  x = (x ^ (x >> 15)) * 0x846CA68Bu;
  return x ^ (x >> 16);
}

}  // namespace gradstab::lab::detail
