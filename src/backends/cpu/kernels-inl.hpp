// The SIMD kernels, written once and compiled once per instruction set.
//
// The including unit defines GRADSTAB_KERNELS_NAME and is compiled with the flags of its instruction set,
// from which Highway's static dispatch takes the vector length. Everything has internal linkage; see
// kernels.hpp for why nothing of the standard library may be used.
//
// Contract of all kernels
//   alignment   to the element; loads and stores are unaligned everywhere, so where a tensor starts in memory
//               changes no grouping of elements and hence no bit of a result
//   aliasing    `scale` and `clamp` work in place, the others only read; no two arguments overlap
//   length      any, 0 included; the last, partial group is copied to a buffer padded with zeros
//   memory      none is allocated, and nothing outside [data, data + count) is touched
// NOLINTBEGIN(misc-definitions-in-headers): one unit per instruction set includes this, in a namespace of its
// own
#include <cstddef>
#include <cstdint>

#include "backends/cpu/element_formats-inl.hpp"
#include "backends/cpu/kernels.hpp"
#include "backends/cpu/update_kernels-inl.hpp"

namespace gradstab {
namespace {

/// Asks for the memory that a loop reaches in a while. The processor's own prefetching stops at each page;
/// two pages ahead, one thread measures and scales a sixth faster than without or with a quarter of a page
/// (AMD Zen 5; 4 to 16 KiB are alike). The optimizer updates go without: four streams at once are slower with
/// it at any distance. Addresses after the end are no fault, and nothing is read.
template <std::size_t kBytes>
GRADSTAB_INLINE inline void prefetch_ahead(const void* p) {
  constexpr std::size_t kDistance = 8192;
  constexpr std::size_t kCacheLine = 64;
  for (std::size_t at = 0; at < kBytes; at += kCacheLine) {
    // As a number, because a pointer may not leave its array, even unread.
    const std::uintptr_t ahead = reinterpret_cast<std::uintptr_t>(p) + kDistance + at;
    hwy::Prefetch(reinterpret_cast<const char*>(ahead));  // NOLINT(performance-no-int-to-ptr)
  }
}

/// The elements after the last full group, followed by zeros.
template <class T>
struct PaddedTail {
  GRADSTAB_INLINE PaddedTail(const T* data, std::size_t length) {
    __builtin_memset(elements, 0, sizeof elements);
    __builtin_memcpy(elements, data, length * sizeof(T));
  }
  HWY_ALIGN T elements[2 * kGroup];
};

/// Sum of squares.
///   accumulator   double for every format: the squares of float32, float16 and bfloat16 are exact in it and
///                 can neither overflow nor vanish, so fused and separate multiply-add agree bit for bit
///   order         element i goes to one of 8 * Lanes(double) running sums chosen by i alone; they are added
///                 pairwise, then across lanes. Eight vectors hide the latency of the multiply-add
///   error         at most (count / (8 * Lanes) + 8) * 2^-53 relative, in the ordinary range
template <class Format>
double squared_norm(const void* data, std::size_t count) noexcept {
  using T = typename Format::Element;
  const T* elements = static_cast<const T*>(data);
  F64 s0 = hn::Zero(kF64), s1 = s0, s2 = s0, s3 = s0, s4 = s0, s5 = s0, s6 = s0, s7 = s0;
  const auto add = [&](const T* p) GRADSTAB_INLINE {
    prefetch_ahead<2 * kGroup * sizeof(T)>(p);
    F64 a, b, c, d;
    Format::load(p, a, b, c, d);
    s0 = hn::MulAdd(a, a, s0);
    s1 = hn::MulAdd(b, b, s1);
    s2 = hn::MulAdd(c, c, s2);
    s3 = hn::MulAdd(d, d, s3);
    Format::load(p + kGroup, a, b, c, d);
    s4 = hn::MulAdd(a, a, s4);
    s5 = hn::MulAdd(b, b, s5);
    s6 = hn::MulAdd(c, c, s6);
    s7 = hn::MulAdd(d, d, s7);
  };
  std::size_t i = 0;
  for (; i + 2 * kGroup <= count; i += 2 * kGroup) add(elements + i);
  if (i < count) add(PaddedTail<T>(elements + i, count - i).elements);
  const F64 lower = hn::Add(hn::Add(s0, s1), hn::Add(s2, s3));
  const F64 upper = hn::Add(hn::Add(s4, s5), hn::Add(s6, s7));
  return hn::GetLane(hn::SumOfLanes(kF64, hn::Add(lower, upper)));
}

/// Sum of squares of a 16-bit format in an ordinary range: as above, but two squares are added in float
/// before they join a running sum. Conversion to double is what bounds the loop, and this halves it. Both
/// squares are exact in float, so each pair is rounded once: at most 2^-24 relative, a 2^13-th of the spacing
/// of float16.
template <class Format>
double squared_norm_by_pairs(const std::uint16_t* elements, std::size_t count) noexcept {
  F64 s0 = hn::Zero(kF64), s1 = s0, s2 = s0, s3 = s0;
  const auto add = [&](const std::uint16_t* p) GRADSTAB_INLINE {
    prefetch_ahead<2 * kGroup * sizeof(std::uint16_t)>(p);
    F32 first, second;
    F64 lower, upper;
    Format::load_f32(p, first, second);
    widen(hn::MulAdd(second, second, hn::Mul(first, first)), lower, upper);
    s0 = hn::Add(s0, lower);
    s1 = hn::Add(s1, upper);
    Format::load_f32(p + kGroup, first, second);
    widen(hn::MulAdd(second, second, hn::Mul(first, first)), lower, upper);
    s2 = hn::Add(s2, lower);
    s3 = hn::Add(s3, upper);
  };
  std::size_t i = 0;
  for (; i + 2 * kGroup <= count; i += 2 * kGroup) add(elements + i);
  if (i < count) add(PaddedTail<std::uint16_t>(elements + i, count - i).elements);
  return hn::GetLane(hn::SumOfLanes(kF64, hn::Add(hn::Add(s0, s1), hn::Add(s2, s3))));
}

/// Sum of squares of a 16-bit format. bfloat16 has float's range, so its squares may leave it: a chunk whose
/// sum is not comfortably inside is summed again in double. Above kSmallestSum all that chunks can have lost
/// to underflow, even where the caller has denormals flushed to zero, is 2^13 * 2^-126, less than a rounding
/// in double.
template <class Format>
double squared_norm_sixteen_bits(const void* data, std::size_t count) noexcept {
  constexpr std::size_t kChunk = 8192;
  constexpr double kSmallestSum = 0x1p-60;
  constexpr double kLargestSum = 0x1p+200;  // infinity in float is infinity here
  const auto* elements = static_cast<const std::uint16_t*>(data);
  double sum = 0.0;
  for (std::size_t i = 0; i < count; i += kChunk) {
    const std::size_t length = count - i < kChunk ? count - i : kChunk;
    double part = squared_norm_by_pairs<Format>(elements + i, length);
    if (!(part > kSmallestSum && part < kLargestSum)) part = squared_norm<Format>(elements + i, length);
    sum += part;
  }
  return sum;
}

/// Largest encoding without its sign. Encodings are ordered as their magnitudes with NaN above infinity, so a
/// maximum of integers keeps NaN and is exact. Signed integers, which every instruction set can compare.
template <class Int>
Int max_abs_bits(const void* data, std::size_t count) noexcept {
  constexpr hn::ScalableTag<Int> kTag;
  using V = hn::Vec<decltype(kTag)>;
  constexpr std::size_t kStep = 4 * hn::MaxLanes(kTag);
  const Int* elements = static_cast<const Int*>(data);
  const std::size_t lanes = hn::Lanes(kTag);
  const V mask = hn::Set(kTag, static_cast<Int>(~(Int{1} << (sizeof(Int) * 8 - 1))));
  V m0 = hn::Zero(kTag), m1 = m0, m2 = m0, m3 = m0;
  const auto take = [&](const Int* p) GRADSTAB_INLINE {
    m0 = hn::Max(m0, hn::And(mask, hn::LoadU(kTag, p)));
    m1 = hn::Max(m1, hn::And(mask, hn::LoadU(kTag, p + lanes)));
    m2 = hn::Max(m2, hn::And(mask, hn::LoadU(kTag, p + 2 * lanes)));
    m3 = hn::Max(m3, hn::And(mask, hn::LoadU(kTag, p + 3 * lanes)));
  };
  std::size_t i = 0;
  for (; i + kStep <= count; i += kStep) take(elements + i);
  HWY_ALIGN Int buffer[kStep] = {};
  if (i < count) {
    __builtin_memcpy(buffer, elements + i, (count - i) * sizeof(Int));
    take(buffer);
  }
  hn::StoreU(hn::Max(hn::Max(m0, m1), hn::Max(m2, m3)), kTag, buffer);
  Int largest = 0;
  for (std::size_t lane = 0; lane < lanes; ++lane) largest = buffer[lane] > largest ? buffer[lane] : largest;
  return largest;
}

/// Largest absolute value; NaN if any element is.
template <class Format, class Int>
double max_abs(const void* data, std::size_t count) noexcept {
  const Int bits = max_abs_bits<Int>(data, count);
  PaddedTail<typename Format::Element> one(reinterpret_cast<const typename Format::Element*>(&bits), 1);
  F64 a, b, c, d;
  Format::load(one.elements, a, b, c, d);
  return hn::GetLane(a);
}

/// data[i] <- data[i] * factor: the double product, rounded once. Bit for bit what the reference computes,
/// NaN payloads aside.
template <class Format>
void scale(void* data, std::size_t count, double factor) noexcept {
  using T = typename Format::Element;
  T* elements = static_cast<T*>(data);
  const F64 multiplier = hn::Set(kF64, factor);
  const auto multiply = [&](T* p) GRADSTAB_INLINE {
    prefetch_ahead<kGroup * sizeof(T)>(p);
    F64 a, b, c, d;
    Format::load(p, a, b, c, d);
    Format::store(p, hn::Mul(a, multiplier), hn::Mul(b, multiplier), hn::Mul(c, multiplier),
                  hn::Mul(d, multiplier));
  };
  std::size_t i = 0;
  for (; i + kGroup <= count; i += kGroup) multiply(elements + i);
  if (i < count) {
    PaddedTail<T> tail(elements + i, count - i);
    multiply(tail.elements);
    __builtin_memcpy(elements + i, tail.elements, (count - i) * sizeof(T));
  }
}

/// The same for 16-bit formats. Products are formed in float; a group in which a float product lies so near
/// the middle between two neighbours that rounding it might differ from rounding the double product (one
/// element in a few thousand) is done in double instead, and so is everything where the factor is not an
/// ordinary float. A factor of few digits such as 0.75 meets exact ties often and runs at the speed of the
/// double path.
template <class Format>
void scale_sixteen_bits(void* data, std::size_t count, double factor) noexcept {
  const double magnitude = factor < 0.0 ? -factor : factor;
  if (!(magnitude < Format::kFastLimit && magnitude * Format::kFastLimit > 1.0)) {
    // A NaN of the caller's may carry digits that rounding would push over the end of the encoding.
    return scale<Format>(data, count, factor == factor ? factor : __builtin_nan(""));
  }
  auto* elements = static_cast<std::uint16_t*>(data);
  const typename Format::FastFactor fast(factor);
  const auto multiply = [&](std::uint16_t* p) GRADSTAB_INLINE {
    prefetch_ahead<kGroup * sizeof(std::uint16_t)>(p);
    if (!Format::scale_fast(p, fast)) [[unlikely]]
      scale<Format>(p, kGroup, factor);
  };
  std::size_t i = 0;
  for (; i + kGroup <= count; i += kGroup) multiply(elements + i);
  if (i < count) {
    PaddedTail<std::uint16_t> tail(elements + i, count - i);
    multiply(tail.elements);
    __builtin_memcpy(elements + i, tail.elements, (count - i) * sizeof(std::uint16_t));
  }
}

/// data[i] <- data[i] * factor, at most `limit` in magnitude; formed in double and rounded once, bit for bit
/// what the reference computes, NaN payloads aside. A NaN compares as not above the limit.
template <class Format>
void clamp(void* data, std::size_t count, double factor, double limit) noexcept {
  using T = typename Format::Element;
  T* elements = static_cast<T*>(data);
  // A NaN of the caller's may carry digits that rounding would push over the end of a 16-bit encoding.
  const F64 multiplier = hn::Set(kF64, factor == factor ? factor : __builtin_nan(""));
  const F64 bound = hn::Set(kF64, limit);
  const auto clamped = [&](F64 value) GRADSTAB_INLINE {
    value = hn::Mul(value, multiplier);
    return hn::IfThenElse(hn::Gt(hn::Abs(value), bound), hn::CopySign(bound, value), value);
  };
  const auto take = [&](T* p) GRADSTAB_INLINE {
    prefetch_ahead<kGroup * sizeof(T)>(p);
    F64 a, b, c, d;
    Format::load(p, a, b, c, d);
    Format::store(p, clamped(a), clamped(b), clamped(c), clamped(d));
  };
  std::size_t i = 0;
  for (; i + kGroup <= count; i += kGroup) take(elements + i);
  if (i < count) {
    PaddedTail<T> tail(elements + i, count - i);
    take(tail.elements);
    __builtin_memcpy(elements + i, tail.elements, (count - i) * sizeof(T));
  }
}

/// Whether no kernel is missing, neither of a dtype nor of a rule.
constexpr bool is_complete(const CpuKernels& kernels) {
  for (std::size_t dtype = 0; dtype < kDTypeCount; ++dtype) {
    if (kernels.squared_norm[dtype] == nullptr || kernels.max_abs[dtype] == nullptr) return false;
    if (kernels.scale[dtype] == nullptr || kernels.clamp[dtype] == nullptr) return false;
    for (const auto& of_storage : kernels.update)
      for (const auto& of_dtype : of_storage)
        if (of_dtype[dtype] == nullptr) return false;
  }
  return true;
}

constexpr CpuKernels make_kernels() {
  CpuKernels kernels = {
      {squared_norm<Single>, squared_norm<Double>, squared_norm_sixteen_bits<Half>,
       squared_norm_sixteen_bits<Brain>},
      {max_abs<Single, std::int32_t>, max_abs<Double, std::int64_t>, max_abs<Half, std::int16_t>,
       max_abs<Brain, std::int16_t>},
      {scale<Single>, scale<Double>, scale_sixteen_bits<Half>, scale_sixteen_bits<Brain>},
      {clamp<Single>, clamp<Double>, clamp<Half>, clamp<Brain>},
      {},
  };
  add_updates(kernels);
  return kernels;
}

constexpr CpuKernels kKernels = make_kernels();
static_assert(is_complete(kKernels),
              "every dtype, and every rule with every storage and dtype, has its kernel");

}  // namespace

extern const CpuKernels GRADSTAB_KERNELS_NAME = kKernels;

}  // namespace gradstab
// NOLINTEND(misc-definitions-in-headers)
