// Random bits from a counter, the same in every backend.
//
// Internal linkage, and nothing of the standard library: see update_rules-inl.hpp.
#pragma once

#if defined(__CUDACC__)
#define GRADSTAB_BITS_CALLABLE __host__ __device__
#else
#define GRADSTAB_BITS_CALLABLE
#endif

namespace gradstab {
namespace {

/// A mix of a block's key and an element's index, given as their sum, in which every bit of either moves
/// about half of the result's. `Int` names mul(x, constant) and xor_shift<k>(x), which is x ^ (x >> k), on
/// 32-bit unsigned integers.
template <class Int, class U>
GRADSTAB_BITS_CALLABLE static __attribute__((always_inline)) inline U mixed_bits(U x) {
  x = Int::mul(Int::template xor_shift<16>(x), 0x7FEB352Du);
  x = Int::mul(Int::template xor_shift<15>(x), 0x846CA68Bu);
  return Int::template xor_shift<16>(x);
}

}  // namespace
}  // namespace gradstab
