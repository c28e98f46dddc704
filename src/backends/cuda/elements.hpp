// Loads, stores and conversions of elements, the same on host and device.
//
// A group is up to 16 bytes in one access. Where memory is not aligned to it, the same elements are loaded
// one by one into the same places, so that alignment changes no bit of a result.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

#include "gradstab/decide.hpp"
#include "gradstab/tensor.hpp"

#if defined(__CUDACC__)
#define GRADSTAB_DEVICE_INLINE __host__ __device__ __forceinline__
#define GRADSTAB_UNROLL _Pragma("unroll")
#else
#define GRADSTAB_DEVICE_INLINE inline
#define GRADSTAB_UNROLL
#endif

namespace gradstab::device {

/// size_of, callable on a device.
GRADSTAB_DEVICE_INLINE std::size_t bytes_of(DType dtype) {
  return dtype == DType::float64 ? 8 : dtype == DType::float32 ? 4 : 2;
}

GRADSTAB_DEVICE_INLINE float float_of(std::uint32_t bits) {
#if defined(__CUDA_ARCH__)
  return __uint_as_float(bits);
#else
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
#endif
}

GRADSTAB_DEVICE_INLINE std::uint32_t bits_of(float value) {
#if defined(__CUDA_ARCH__)
  return __float_as_uint(value);
#else
  std::uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  return bits;
#endif
}

GRADSTAB_DEVICE_INLINE float fused(float a, float b, float c) {
#if defined(__CUDA_ARCH__)
  return __fmaf_rn(a, b, c);
#else
  return std::fma(a, b, c);
#endif
}

GRADSTAB_DEVICE_INLINE double fused(double a, double b, double c) {
#if defined(__CUDA_ARCH__)
  return __fma_rn(a, b, c);
#else
  return std::fma(a, b, c);
#endif
}

GRADSTAB_DEVICE_INLINE bool is_finite(double value) {
  return value - value == 0.0;
}

/// The float next to `value` whose last bit says that something was cut off, or `value` itself where nothing
/// was: rounding that to 11 bits or fewer is rounding `value` once.
GRADSTAB_DEVICE_INLINE float round_to_odd(double value) {
  const auto nearest = static_cast<float>(value);
  const auto back = static_cast<double>(nearest);
  if (back == value || value != value) return nearest;
  std::uint32_t bits = bits_of(nearest);
  const bool away = back < 0.0 ? back < value : back > value;
  if (away && (bits & 0x7FFFFFFFu) != 0) bits -= 1;
  // Nearest was zero: the smallest float of the value's sign says that it is not.
  if ((bits & 0x7FFFFFFFu) == 0 && value < 0.0) bits |= 0x80000000u;
  return float_of(bits | 1u);
}

struct SingleFormat {
  using Bits = std::uint32_t;
  static constexpr DType kDType = DType::float32;
  GRADSTAB_DEVICE_INLINE static float load(std::uint32_t bits) { return float_of(bits); }
};

struct BrainFormat {
  using Bits = std::uint16_t;
  static constexpr DType kDType = DType::bfloat16;
  /// Whether sums of two squares are always far from the ends of float's range.
  static constexpr bool kPairsAlwaysFit = false;
  /// Of the digits that a float has beyond this format, the first: half of this format's last digit.
  static constexpr std::uint32_t kMiddle = 0x8000u;
  /// From here on those are the same digits for every number; far above the real one, where float ends too.
  static constexpr float kSmallestNormal = 0x1p-60f;
  GRADSTAB_DEVICE_INLINE static float load(std::uint16_t bits) {
    return float_of(static_cast<std::uint32_t>(bits) << 16);
  }
  /// To nearest, ties to even. NaN stays NaN.
  GRADSTAB_DEVICE_INLINE static std::uint16_t round(float value) {
#if defined(__CUDA_ARCH__)
    std::uint16_t rounded;
    asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(rounded) : "f"(value));
    return rounded;
#else
    const std::uint32_t bits = bits_of(value);
    if (value != value) return static_cast<std::uint16_t>(((bits >> 16) & 0x8000u) | 0x7FC0u);
    return static_cast<std::uint16_t>((bits + 0x7FFFu + ((bits >> 16) & 1u)) >> 16);
#endif
  }
};

struct HalfFormat {
  using Bits = std::uint16_t;
  static constexpr DType kDType = DType::float16;
  static constexpr bool kPairsAlwaysFit = true;
  static constexpr std::uint32_t kMiddle = 0x1000u;
  static constexpr float kSmallestNormal = 0x1p-14f;
  GRADSTAB_DEVICE_INLINE static float load(std::uint16_t bits) {
#if defined(__CUDA_ARCH__)
    float value;
    asm("cvt.f32.f16 %0, %1;" : "=f"(value) : "h"(bits));
    return value;
#else
    return to_float(Float16{bits});
#endif
  }
  GRADSTAB_DEVICE_INLINE static std::uint16_t round(float value) {
#if defined(__CUDA_ARCH__)
    std::uint16_t bits;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(bits) : "f"(value));
    return bits;
#else
    return to_float16(static_cast<double>(value)).bits;
#endif
  }
};

/// For what the host has refused before a kernel could meet it. Loud, because a kernel that went on would
/// report success and have changed nothing.
[[noreturn]] GRADSTAB_DEVICE_INLINE void refused_by_the_host() {
#if defined(__CUDA_ARCH__)
  __trap();
#else
  __builtin_trap();
#endif
}

/// body(format) with the format of gradients of this dtype. Devices have all but float64.
template <class Body>
GRADSTAB_DEVICE_INLINE decltype(auto) visit_format(DType dtype, Body body) {
  switch (dtype) {
    case DType::float32:
      return body(SingleFormat());
    case DType::float16:
      return body(HalfFormat());
    case DType::bfloat16:
      return body(BrainFormat());
    case DType::float64:
      break;
  }
  refused_by_the_host();
}

GRADSTAB_DEVICE_INLINE bool aligned_to(const void* pointer, std::size_t bytes) {
  return reinterpret_cast<std::uintptr_t>(pointer) % bytes == 0;
}

/// Copies kCount elements from memory that is aligned to all of them together: in one access.
template <int kCount, class T>
GRADSTAB_DEVICE_INLINE void load_group(T (&into)[kCount], const T* from) {
#if defined(__CUDA_ARCH__)
  __builtin_assume(__isGlobal(from));  // or each access would ask which memory it is
  if constexpr (sizeof(into) == 16) {
    const uint4 words = *reinterpret_cast<const uint4*>(from);
    std::memcpy(into, &words, sizeof words);
  } else if constexpr (sizeof(into) == 8) {
    const uint2 words = *reinterpret_cast<const uint2*>(from);
    std::memcpy(into, &words, sizeof words);
  } else {
    static_assert(kCount == 1);
    into[0] = from[0];
  }
#else
  std::memcpy(into, from, sizeof into);
#endif
}

template <int kCount, class T>
GRADSTAB_DEVICE_INLINE void store_group(T* to, const T (&from)[kCount]) {
#if defined(__CUDA_ARCH__)
  __builtin_assume(__isGlobal(to));
  if constexpr (sizeof(from) == 16) {
    uint4 words;
    std::memcpy(&words, from, sizeof words);
    *reinterpret_cast<uint4*>(to) = words;
  } else if constexpr (sizeof(from) == 8) {
    uint2 words;
    std::memcpy(&words, from, sizeof words);
    *reinterpret_cast<uint2*>(to) = words;
  } else {
    static_assert(kCount == 1);
    to[0] = from[0];
  }
#else
  std::memcpy(to, from, sizeof from);
#endif
}

}  // namespace gradstab::device
