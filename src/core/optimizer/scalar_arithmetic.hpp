// Arithmetic of the update rules on single numbers, in float32 or in double, and which of the two a step
// needs. Written once, for host and device.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "gradstab/backend.hpp"
#include "gradstab/decide.hpp"

namespace gradstab {

/// Ops of update_rules-inl.hpp, one rounding to `T` per operation.
template <class T>
struct ScalarOps {
  using V = T;
  GRADSTAB_HOST_DEVICE static T set(double value) { return static_cast<T>(value); }
  GRADSTAB_HOST_DEVICE static T add(T a, T b) { return a + b; }
  GRADSTAB_HOST_DEVICE static T sub(T a, T b) { return a - b; }
  GRADSTAB_HOST_DEVICE static T mul(T a, T b) { return a * b; }
  GRADSTAB_HOST_DEVICE static T div(T a, T b) { return a / b; }
  GRADSTAB_HOST_DEVICE static T sqrt(T a) { return std::sqrt(a); }
  GRADSTAB_HOST_DEVICE static T max(T a, T b) { return a > b ? a : b; }
  GRADSTAB_HOST_DEVICE static T sign(T a) { return a > T{0} ? T{1} : a < T{0} ? T{-1} : T{0}; }
  GRADSTAB_HOST_DEVICE static T select_greater(T a, T b, T yes, T no) { return a > b ? yes : no; }
};

/// Int of random_bits-inl.hpp.
struct ScalarIntOps {
  GRADSTAB_HOST_DEVICE static std::uint32_t mul(std::uint32_t x, std::uint32_t constant) {
    return x * constant;
  }
  template <int kShift>
  GRADSTAB_HOST_DEVICE static std::uint32_t xor_shift(std::uint32_t x) {
    return x ^ (x >> kShift);
  }
};

namespace detail {

/// By its bits, because this is asked of every block.
GRADSTAB_HOST_DEVICE inline bool fits_float32(std::uint64_t bits) {
  constexpr std::uint64_t kSmallest = std::uint64_t{1023 - 126} << 53;  // 2^-126, without the sign
  constexpr std::uint64_t kBeyond = std::uint64_t{1023 + 127} << 53;
  constexpr std::uint64_t kInfinity = std::uint64_t{2047} << 53;
  const std::uint64_t magnitude = bits << 1;
  if (magnitude - kSmallest < kBeyond - kSmallest) return true;
  return magnitude == 0 || magnitude >= kInfinity;
}

}  // namespace detail

/// Whether a step with these numbers can be computed in float32. Each must be 0 or between 2^-126 and 2^127
/// in magnitude, or no number: infinity and NaN are the same there. Of others float32 would make infinity (of
/// the factor of a gradient whose norm is 1e-39), 0 (of an epsilon of 1e-46) or something of fewer digits, so
/// their step is computed in double, from the same arrays.
GRADSTAB_HOST_DEVICE inline bool fits_float32(const UpdateScalars& scalars) {
  constexpr std::size_t kCount = sizeof(UpdateScalars) / sizeof(double);
  static_assert(sizeof(UpdateScalars) == kCount * sizeof(double), "all of them are doubles");
  const auto* bytes = reinterpret_cast<const unsigned char*>(&scalars);
  for (std::size_t i = 0; i < kCount; ++i) {
    // One at a time: the processor has just written them one at a time, and would wait to read two together.
    std::uint64_t bits;
    std::memcpy(&bits, bytes + i * sizeof bits, sizeof bits);
    if (!detail::fits_float32(bits)) return false;
  }
  return true;
}

}  // namespace gradstab
