// Element types, and the two 16-bit floating-point formats C++20 has no names for.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "gradstab/export.hpp"

namespace gradstab {

enum class DType : std::uint8_t { float32, float64, float16, bfloat16 };

inline constexpr std::size_t kDTypeCount = 4;

/// "float32", "float64", "float16" or "bfloat16".
GRADSTAB_API std::string_view to_string(DType dtype) noexcept;

/// Bytes of one element.
constexpr std::size_t size_of(DType dtype) noexcept {
  switch (dtype) {
    case DType::float32:
      return 4;
    case DType::float64:
      return 8;
    case DType::float16:
    case DType::bfloat16:
      return 2;
  }
  return 0;
}

/// IEEE 754 binary16: 1 sign, 5 exponent, 10 fraction bits. Storage only.
struct Float16 {
  std::uint16_t bits;
};

/// bfloat16: the upper half of a binary32. Storage only.
struct BFloat16 {
  std::uint16_t bits;
};

constexpr float to_float(BFloat16 value) noexcept {
  return std::bit_cast<float>(static_cast<std::uint32_t>(value.bits) << 16);
}

constexpr float to_float(Float16 value) noexcept {
  const std::uint32_t sign = static_cast<std::uint32_t>(value.bits & 0x8000u) << 16;
  const std::uint32_t magnitude = value.bits & 0x7FFFu;
  if (magnitude >= 0x7C00u) return std::bit_cast<float>(sign | 0x7F800000u | ((magnitude & 0x3FFu) << 13));
  if (magnitude >= 0x0400u) return std::bit_cast<float>(sign | ((magnitude << 13) + ((127u - 15u) << 23)));
  // Subnormal: an integer multiple of 2^-24, exact in binary32.
  const float small = static_cast<float>(magnitude) * 0x1p-24f;
  return std::bit_cast<float>(sign | std::bit_cast<std::uint32_t>(small));
}

/// Rounds to nearest, ties to even, once: the argument is a double so that a product of a 16-bit value and a
/// double factor is not rounded twice on its way to 16 bits. NaN stays NaN (quiet), overflow becomes
/// infinity.
GRADSTAB_API BFloat16 to_bfloat16(double value) noexcept;
GRADSTAB_API Float16 to_float16(double value) noexcept;

}  // namespace gradstab
