// Functions of one number that the loops of cpu_kernels.cpp apply to whole arrays: e^x and the rounding to
// 16-bit formats, both in a form that the compiler turns into vector code.
//
// Included only by what is compiled once per instruction set, into the namespace of that set.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>

namespace gradstab::lab::GRADSTAB_KERNEL_SET {

// e^x for x in the range of float exponents (results saturate near 1e-38 and 2e38), within 2 units in the
// last place: x = n ln 2 + r, e^r by the polynomial of Cephes' expf. Unlike std::exp the compiler turns it
// into vector code.
inline float exponential(float x) {
  x = x < -87.3F ? -87.3F : x;
  x = x > 88.0F ? 88.0F : x;
  constexpr float kRound = 12582912.0F;  // 1.5 * 2^23: adding it leaves the nearest integer in the low bits
  const float shifted = x * 1.44269504088896341F + kRound;
  const float n = shifted - kRound;
  const float r = (x - n * 0.693359375F) + n * 2.12194440e-4F;
  float p = 1.9875691500e-4F;
  p = p * r + 1.3981999507e-3F;
  p = p * r + 8.3334519073e-3F;
  p = p * r + 4.1665795894e-2F;
  p = p * r + 1.6666665459e-1F;
  p = p * r + 5.0000001201e-1F;
  p = p * r * r + r + 1.0F;
  const std::uint32_t exponent = (std::bit_cast<std::uint32_t>(shifted) + 127U) << 23U;
  return p * std::bit_cast<float>(exponent);
}
inline double exponential(double x) {
  return std::exp(x);
}

// Roundings to the nearest value of a format, ties to even. Magnitudes from halfway past the largest value of
// the format become infinite; NaN stays NaN.

/// Leaves every value as it is.
struct Unrounded {
  template <class Scalar>
  static Scalar apply(Scalar x) {
    return x;
  }
};

/// To 8 significant bits with the exponents of float.
struct ToBFloat16 {
  static float apply(float x) {
    const auto bits = std::bit_cast<std::uint32_t>(x);
    const std::uint32_t nearest = bits + 0x7FFFU + ((bits >> 16U) & 1U);
    const bool is_nan = (bits & 0x7FFFFFFFU) > 0x7F800000U;
    const std::uint32_t chosen = is_nan ? bits | 0x00400000U : nearest;
    return std::bit_cast<float>(chosen & 0xFFFF0000U);
  }
};

/// To 11 significant bits, multiples of 2^-24 below 2^-14, largest value 65504.
struct ToHalf {
  static float apply(float x) {
    const auto bits = std::bit_cast<std::uint32_t>(x);
    const std::uint32_t magnitude = bits & 0x7FFFFFFFU;
    std::uint32_t nearest = (magnitude + 0xFFFU + ((magnitude >> 13U) & 1U)) & ~0x1FFFU;
    nearest = nearest >= 0x47800000U ? 0x7F800000U : nearest;  // 65536 is the first that does not fit
    // Between 0.5 and 1 neighbours in float are 2^-24 apart, as binary16 is below 2^-14.
    const float subnormal = (std::bit_cast<float>(magnitude) + 0.5F) - 0.5F;
    nearest = magnitude < 0x38800000U ? std::bit_cast<std::uint32_t>(subnormal) : nearest;
    nearest = magnitude > 0x7F800000U ? magnitude | 0x00400000U : nearest;
    return std::bit_cast<float>(nearest | (bits & 0x80000000U));
  }
};

}  // namespace gradstab::lab::GRADSTAB_KERNEL_SET
