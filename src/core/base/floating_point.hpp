// What a NaN and an infinity are, by their bits.
//
// Policies for gradients that are not finite, and every promise of equal bits, rest on arithmetic as IEC
// 60559 has it. A compiler that was told of "fast math" assumes that there is no NaN, and removes whatever
// looks for one. cmake/compiler.cmake takes such flags back from all targets of this project; who compiles
// the sources in another way is told here.
#pragma once

#include <bit>
#include <cstdint>
#include <limits>

#if defined(__FAST_MATH__) || (defined(__FINITE_MATH_ONLY__) && __FINITE_MATH_ONLY__) || defined(_M_FP_FAST)
#error \
    "gradstab must not be compiled with -ffast-math, -Ofast or /fp:fast: add -fno-fast-math or /fp:precise at the end"
#endif

namespace gradstab::detail {

static_assert(std::numeric_limits<float>::is_iec559 && std::numeric_limits<double>::is_iec559);

constexpr std::uint64_t kInfinityBits = 0x7ff0000000000000u;

/// Without the sign: below kInfinityBits if `value` is finite, above if it is NaN. A float becomes the double
/// of the same class.
constexpr std::uint64_t magnitude_bits(double value) noexcept {
  return std::bit_cast<std::uint64_t>(value) & 0x7fffffffffffffffu;
}

constexpr bool is_finite(double value) noexcept {
  return magnitude_bits(value) < kInfinityBits;
}
constexpr bool is_infinite(double value) noexcept {
  return magnitude_bits(value) == kInfinityBits;
}
constexpr bool is_nan(double value) noexcept {
  return magnitude_bits(value) > kInfinityBits;
}

}  // namespace gradstab::detail
