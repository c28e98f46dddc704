// Element formats: how a group of elements becomes vectors and goes back, for one instruction set.
//
// Part of kernels-inl.hpp, under its rules: internal linkage, nothing of the standard library. The order of
// elements within the vectors is a format's own business, as long as it is always the same.
#pragma once

#include <cstddef>
#include <cstdint>

#define HWY_COMPILE_ONLY_STATIC
#include <hwy/cache_control.h>
#include <hwy/highway.h>

// Always inlined: accumulators captured by reference must stay in registers.
#define GRADSTAB_INLINE __attribute__((always_inline))

// Highway emulates the conversions of float16 where the processor has none, but without infinities and
// without rounding to nearest.
#define GRADSTAB_NATIVE_FLOAT16 (HWY_ARCH_X86 && HWY_TARGET <= HWY_AVX2)

namespace gradstab {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

constexpr hn::ScalableTag<double> kF64;
constexpr hn::ScalableTag<float> kF32;
constexpr hn::ScalableTag<std::uint64_t> kU64;
constexpr hn::ScalableTag<std::uint32_t> kU32;
constexpr hn::ScalableTag<std::uint16_t> kU16;
constexpr hn::Rebind<float, decltype(kF64)> kHalfF32;  // as many floats as a vector holds doubles
using F64 = hn::Vec<decltype(kF64)>;
using F32 = hn::Vec<decltype(kF32)>;
using U32 = hn::Vec<decltype(kU32)>;
using HalfF32 = hn::Vec<decltype(kHalfF32)>;

/// Elements that the kernels take at a time: what four vectors of doubles hold.
constexpr std::size_t kGroup = 4 * hn::MaxLanes(kF64);

GRADSTAB_INLINE inline HalfF32 narrow(F64 value) {
  return hn::DemoteTo(kHalfF32, value);
}

GRADSTAB_INLINE inline F32 narrow(F64 lower, F64 upper) {
  return hn::Combine(kF32, narrow(upper), narrow(lower));
}

GRADSTAB_INLINE inline void widen(F32 value, F64& lower, F64& upper) {
  lower = hn::PromoteTo(kF64, hn::LowerHalf(kHalfF32, value));
  upper = hn::PromoteTo(kF64, hn::UpperHalf(kHalfF32, value));
}

struct Double {
  using Element = double;

  static GRADSTAB_INLINE void load(const double* p, F64& a, F64& b, F64& c, F64& d) {
    const std::size_t lanes = hn::Lanes(kF64);
    a = hn::LoadU(kF64, p);
    b = hn::LoadU(kF64, p + lanes);
    c = hn::LoadU(kF64, p + 2 * lanes);
    d = hn::LoadU(kF64, p + 3 * lanes);
  }
  static GRADSTAB_INLINE void store(double* p, F64 a, F64 b, F64 c, F64 d) {
    const std::size_t lanes = hn::Lanes(kF64);
    hn::StoreU(a, kF64, p);
    hn::StoreU(b, kF64, p + lanes);
    hn::StoreU(c, kF64, p + 2 * lanes);
    hn::StoreU(d, kF64, p + 3 * lanes);
  }
};

struct Single {
  using Element = float;

  static GRADSTAB_INLINE void load(const float* p, F64& a, F64& b, F64& c, F64& d) {
    const std::size_t lanes = hn::Lanes(kF64);
    a = hn::PromoteTo(kF64, hn::LoadU(kHalfF32, p));
    b = hn::PromoteTo(kF64, hn::LoadU(kHalfF32, p + lanes));
    c = hn::PromoteTo(kF64, hn::LoadU(kHalfF32, p + 2 * lanes));
    d = hn::PromoteTo(kF64, hn::LoadU(kHalfF32, p + 3 * lanes));
  }
  static GRADSTAB_INLINE void store(float* p, F64 a, F64 b, F64 c, F64 d) {
    const std::size_t lanes = hn::Lanes(kF64);
    hn::StoreU(narrow(a), kHalfF32, p);
    hn::StoreU(narrow(b), kHalfF32, p + lanes);
    hn::StoreU(narrow(c), kHalfF32, p + 2 * lanes);
    hn::StoreU(narrow(d), kHalfF32, p + 3 * lanes);
  }
};

/// Rounds to `kFractionBits` fraction bits, and below 2^kMinExponent to the spacing of the subnormals: to
/// nearest, ties to even, exactly as to_float16 and to_bfloat16. Overflow is left to the conversion that
/// follows.
template <int kFractionBits, int kMinExponent>
GRADSTAB_INLINE inline F64 round_fraction(F64 value) {
  constexpr int kDropped = 52 - kFractionBits;
  constexpr std::uint64_t kMask = (std::uint64_t{1} << kDropped) - 1;
  const auto bits = hn::BitCast(kU64, value);
  const auto last_kept = hn::And(hn::ShiftRight<kDropped>(bits), hn::Set(kU64, 1));
  const auto carried = hn::Add(bits, hn::Add(last_kept, hn::Set(kU64, kMask >> 1)));
  const F64 normal = hn::BitCast(kF64, hn::AndNot(hn::Set(kU64, kMask), carried));
  // Adding a number whose last digit is the subnormals' spacing rounds to that spacing.
  constexpr std::uint64_t kAnchorBits =
      (static_cast<std::uint64_t>(1023 + 52 + kMinExponent - kFractionBits) << 52) | (std::uint64_t{1} << 51);
  const F64 anchor = hn::BitCast(kF64, hn::Set(kU64, kAnchorBits));
  const F64 subnormal = hn::CopySign(hn::Sub(hn::Add(value, anchor), anchor), value);
  const F64 smallest_normal =
      hn::BitCast(kF64, hn::Set(kU64, static_cast<std::uint64_t>(1023 + kMinExponent) << 52));
  return hn::IfThenElse(hn::Lt(hn::Abs(value), smallest_normal), subnormal, normal);
}

/// The 16-bit formats share their way through two vectors of floats. Each format gives, beside
///   load_f32        exact
///   store_exact     of floats that the format represents
///   scale_fast      the products where one rounding in float cannot be told from the exact result; false,
///   and
///                   nothing stored, where one of them might be.
template <class Format>
struct SixteenBits {
  using Element = std::uint16_t;

  static GRADSTAB_INLINE void load(const std::uint16_t* p, F64& a, F64& b, F64& c, F64& d) {
    F32 first, second;
    Format::load_f32(p, first, second);
    widen(first, a, b);
    widen(second, c, d);
  }
  static GRADSTAB_INLINE void store(std::uint16_t* p, F64 a, F64 b, F64 c, F64 d) {
    Format::store_exact(p, narrow(Format::round(a), Format::round(b)),
                        narrow(Format::round(c), Format::round(d)));
  }
};

struct Brain : SixteenBits<Brain> {
  static GRADSTAB_INLINE F64 round(F64 value) { return round_fraction<7, -126>(value); }

  /// Even elements first, then the odd ones: a shift and a mask instead of permutations.
  static GRADSTAB_INLINE void load_f32(const std::uint16_t* p, F32& even, F32& odd) {
    const U32 pairs = hn::BitCast(kU32, hn::LoadU(kU16, p));
    even = hn::BitCast(kF32, hn::ShiftLeft<16>(pairs));
    odd = hn::BitCast(kF32, hn::And(pairs, hn::Set(kU32, 0xFFFF0000u)));
  }
  static GRADSTAB_INLINE void store_bits(std::uint16_t* p, U32 even, U32 odd) {
    const U32 pairs = hn::Or(hn::ShiftRight<16>(even), hn::And(odd, hn::Set(kU32, 0xFFFF0000u)));
    hn::StoreU(hn::BitCast(kU16, pairs), kU16, p);
  }
  static GRADSTAB_INLINE void store_exact(std::uint16_t* p, F32 even, F32 odd) {
    store_bits(p, hn::BitCast(kU32, even), hn::BitCast(kU32, odd));
  }

  /// The float product of an element and the factor rounded to float is off by less than 1.5 units in its
  /// last place, which is 3 in the encoding where the unit halves below a power of two. Half a unit of the
  /// bfloat16 is 0x8000 in the encoding; the rounding is in doubt where the low half of the product is within
  /// kDoubt of it. Encodings of floats are ordered as their magnitudes, through subnormals and infinity, and
  /// of NaN the low half is 0, so this holds for all of them.
  static constexpr double kFastLimit = 0x1p100;  // of the factor and its inverse: its float is normal
  struct FastFactor {
    explicit FastFactor(double factor) : rounded(static_cast<float>(factor)) {}
    float rounded;
  };
  static GRADSTAB_INLINE bool scale_fast(std::uint16_t* p, const FastFactor& factor) {
    constexpr std::uint32_t kDoubt = 4;
    F32 even, odd;
    load_f32(p, even, odd);
    const F32 multiplier = hn::Set(kF32, factor.rounded);
    const U32 half = hn::Set(kU32, 0x8000u + kDoubt);
    const U32 even_rounded = hn::Add(hn::BitCast(kU32, hn::Mul(even, multiplier)), half);
    const U32 odd_rounded = hn::Add(hn::BitCast(kU32, hn::Mul(odd, multiplier)), half);
    const auto nearest = hn::Min(hn::BitCast(kU16, even_rounded), hn::BitCast(kU16, odd_rounded));
    const U32 low_halves = hn::And(hn::BitCast(kU32, nearest), hn::Set(kU32, 0xFFFFu & ~(2 * kDoubt - 1)));
    if (!hn::AllFalse(kU32, hn::Eq(low_halves, hn::Zero(kU32)))) return false;
    store_bits(p, even_rounded, odd_rounded);
    return true;
  }
};

struct Half : SixteenBits<Half> {
  static GRADSTAB_INLINE F64 round(F64 value) { return round_fraction<10, -14>(value); }

#if GRADSTAB_NATIVE_FLOAT16
  static constexpr hn::Rebind<hwy::float16_t, decltype(kF32)> kF16{};
  static constexpr hn::Rebind<std::uint16_t, decltype(kF32)> kHalfU16{};

  static GRADSTAB_INLINE void load_f32(const std::uint16_t* p, F32& first, F32& second) {
    first = hn::PromoteTo(kF32, hn::BitCast(kF16, hn::LoadU(kHalfU16, p)));
    second = hn::PromoteTo(kF32, hn::BitCast(kF16, hn::LoadU(kHalfU16, p + hn::Lanes(kF32))));
  }
  static GRADSTAB_INLINE auto encode(F32 value) {
    return hn::BitCast(kHalfU16, hn::DemoteTo(kF16, value));
  }
  static GRADSTAB_INLINE void store_exact(std::uint16_t* p, F32 first, F32 second) {
    hn::StoreU(encode(first), kHalfU16, p);
    hn::StoreU(encode(second), kHalfU16, p + hn::Lanes(kF32));
  }

  /// Two floats around the factor, each off by 1.5 * 2^-23, give two float products around the double one:
  /// rounding the factor and the product takes back at most 2^-24 each. Conversion to float16 is monotone: if
  /// the two agree, so does everything between them. A factor of up to 13 digits, a power of two above all,
  /// has exact products and surrounds itself. The limit keeps all products normal floats.
  static constexpr double kFastLimit = 0x1p60;
  struct FastFactor {
    explicit FastFactor(double factor) {
      std::uint64_t bits;
      __builtin_memcpy(&bits, &factor, sizeof bits);
      const double margin = (bits & ((std::uint64_t{1} << 40) - 1)) == 0 ? 0.0 : 0x1.8p-23;
      low = static_cast<float>(factor * (1.0 - margin));
      high = static_cast<float>(factor * (1.0 + margin));
    }
    float low, high;
  };
  static GRADSTAB_INLINE bool scale_fast(std::uint16_t* p, const FastFactor& factor) {
    F32 first, second;
    load_f32(p, first, second);
    const F32 low = hn::Set(kF32, factor.low);
    const F32 high = hn::Set(kF32, factor.high);
    const auto first_bits = encode(hn::Mul(first, high));
    const auto second_bits = encode(hn::Mul(second, high));
    const auto differ = hn::Or(hn::Xor(first_bits, encode(hn::Mul(first, low))),
                               hn::Xor(second_bits, encode(hn::Mul(second, low))));
    if (!hn::AllTrue(kHalfU16, hn::Eq(differ, hn::Zero(kHalfU16)))) return false;
    hn::StoreU(first_bits, kHalfU16, p);
    hn::StoreU(second_bits, kHalfU16, p + hn::Lanes(kF32));
    return true;
  }
#else
  static constexpr hn::ScalableTag<std::int32_t> kI32{};
  static GRADSTAB_INLINE auto as_signed(U32 value) {
    return hn::BitCast(kI32, value);
  }
  template <class Mask>
  static GRADSTAB_INLINE U32 select(Mask mask, U32 yes, U32 no) {
    return hn::IfThenElse(hn::RebindMask(kU32, mask), yes, no);
  }

  /// Even and odd elements as in Brain. Subnormals are made and taken apart by adding a number whose last
  /// digit is their spacing: never a denormal float, which many processors handle in slow microcode.
  static GRADSTAB_INLINE F32 decode(U32 bits) {
    constexpr std::uint32_t kRebias = (127 - 15) << 23;
    const U32 sign = hn::ShiftLeft<16>(hn::And(bits, hn::Set(kU32, 0x8000u)));
    const U32 magnitude = hn::ShiftLeft<13>(hn::And(bits, hn::Set(kU32, 0x7FFFu)));
    const U32 normal = hn::Add(magnitude, hn::Set(kU32, kRebias));
    const F32 smallest_normal = hn::Set(kF32, 0x1p-14f);
    const F32 subnormal =
        hn::Sub(hn::BitCast(kF32, hn::Or(magnitude, hn::BitCast(kU32, smallest_normal))), smallest_normal);
    const auto is_subnormal = hn::Lt(as_signed(magnitude), hn::Set(kI32, 0x0400 << 13));
    const auto is_special = hn::Gt(as_signed(magnitude), hn::Set(kI32, (0x7C00 << 13) - 1));
    const U32 special = hn::Or(magnitude, hn::Set(kU32, 0x7F800000u));
    const U32 finite = select(is_subnormal, hn::BitCast(kU32, subnormal), normal);
    return hn::BitCast(kF32, hn::Or(select(is_special, special, finite), sign));
  }
  static GRADSTAB_INLINE void load_f32(const std::uint16_t* p, F32& even, F32& odd) {
    const U32 pairs = hn::BitCast(kU32, hn::LoadU(kU16, p));
    even = decode(hn::And(pairs, hn::Set(kU32, 0xFFFFu)));
    odd = decode(hn::ShiftRight<16>(pairs));
  }
  /// Of a float that float16 represents, or that lies beyond its range.
  static GRADSTAB_INLINE U32 encode(F32 value) {
    constexpr std::uint32_t kRebias = (127 - 15) << 23;
    const U32 bits = hn::BitCast(kU32, value);
    const U32 sign = hn::ShiftRight<16>(hn::And(bits, hn::Set(kU32, 0x80000000u)));
    const U32 magnitude = hn::And(bits, hn::Set(kU32, 0x7FFFFFFFu));
    const U32 normal = hn::ShiftRight<13>(hn::Sub(magnitude, hn::Set(kU32, kRebias)));
    const F32 anchor = hn::Set(kF32, 0.5f);  // its last digit is 2^-24, the spacing of the subnormals
    const U32 subnormal =
        hn::Sub(hn::BitCast(kU32, hn::Add(hn::BitCast(kF32, magnitude), anchor)), hn::BitCast(kU32, anchor));
    const auto is_subnormal = hn::Lt(as_signed(magnitude), hn::Set(kI32, (127 - 14) << 23));
    const auto is_infinite = hn::Gt(as_signed(magnitude), hn::Set(kI32, ((127 + 16) << 23) - 1));
    const auto is_nan = hn::Gt(as_signed(magnitude), hn::Set(kI32, 0x7F800000));
    const U32 finite = select(is_subnormal, subnormal, normal);
    const U32 special = select(is_nan, hn::Set(kU32, 0x7E00u), hn::Set(kU32, 0x7C00u));
    return hn::Or(sign, select(is_infinite, special, finite));
  }
  static GRADSTAB_INLINE void store_exact(std::uint16_t* p, F32 even, F32 odd) {
    hn::StoreU(hn::BitCast(kU16, hn::Or(encode(even), hn::ShiftLeft<16>(encode(odd)))), kU16, p);
  }

  static constexpr double kFastLimit = 0.0;  // always through double
  struct FastFactor {
    explicit FastFactor(double) {}
  };
  static GRADSTAB_INLINE bool scale_fast(std::uint16_t*, const FastFactor&) {
    return false;
  }
#endif
};

}  // namespace
}  // namespace gradstab
