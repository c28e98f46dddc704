// Random numbers that are functions of a counter: any of them can be made again at any time, in any order, by
// any number of threads, and nothing has to be saved for a run to go on with the same ones.
//
// Dropout in most libraries draws from one serial generator, whose state a checkpoint must carry and which
// no second thread can help. Here an element's number is a hash of its index under a key, and the key a hash
// of the run's seed, the index of the micro-batch and the place in the model (the idea of Salmon et al. 2011,
// "Parallel random numbers: as easy as 1, 2, 3"; the hash is a cheaper one than theirs).
//
// The numbers are part of what a resumed run repeats bit for bit, so they may never change.
#pragma once

#include <cstdint>

#include "lab/support/hashing.hpp"

namespace gradstab::lab::nn {

/// Chooses one stream of random numbers.
struct CounterKey {
  std::uint32_t first = 0, second = 0;
  bool operator==(const CounterKey&) const = default;
};

/// The draws of one micro-batch of one run. Everything that is random in one is keyed by this and by a
/// place.
struct Draw {
  std::uint64_t seed = 0;   ///< of the run
  std::uint64_t index = 0;  ///< of the micro-batch
  /// The key of a place; two places of one model have different numbers.
  constexpr CounterKey key(std::uint64_t place) const noexcept {
    const std::uint64_t hash = mix64(mix64(mix64(seed) ^ index) ^ place);
    return {static_cast<std::uint32_t>(hash), static_cast<std::uint32_t>(hash >> 32)};
  }
};

// What follows is always inlined: kernels are compiled once per instruction set, and a copy with newer
// instructions must not stand in for another at link time.

/// A bijection of 32-bit integers in which every input bit reaches every output bit: two rounds of
/// multiplying and shifting, of which processors compute eight at a time.
[[gnu::always_inline]] constexpr std::uint32_t mix32(std::uint32_t value) noexcept {
  value = (value ^ (value >> 16U)) * 0x7feb352dU;
  value = (value ^ (value >> 15U)) * 0x846ca68bU;
  return value ^ (value >> 16U);
}

/// The 32 random bits of element `index` under `key`.
[[gnu::always_inline]] constexpr std::uint32_t counter_bits(std::uint32_t index, CounterKey key) noexcept {
  return mix32(mix32(index + key.first) ^ key.second);
}

/// Elements that one key can number.
inline constexpr std::int64_t kMostCounterElements = std::int64_t{1} << 32;

/// Dropout of elements with probability `rate` in [0, 1), to a multiple of 2^-24.
struct DropRule {
  CounterKey key;
  std::int32_t threshold = 0;  ///< of 2^24: smaller numbers drop their element
  double scale = 1;            ///< 1 / (1 - rate), which what is kept is multiplied by

  constexpr DropRule() = default;
  // Half of one more than twice the number is the nearest one.
  constexpr DropRule(CounterKey the_key, double rate) noexcept
      : key(the_key), threshold(static_cast<std::int32_t>(rate * 0x1p25 + 1) / 2), scale(1 / (1 - rate)) {}

  [[gnu::always_inline]] constexpr bool keeps(std::uint32_t index) const noexcept {
    return static_cast<std::int32_t>(counter_bits(index, key) >> 8U) >= threshold;
  }
};

/// Element `index` of a stream that is uniform in the open interval (0, 1).
constexpr double counter_uniform(std::uint64_t index, CounterKey key) noexcept {
  const std::uint64_t stream = static_cast<std::uint64_t>(key.second) << 32U | key.first;
  return (static_cast<double>(mix64(mix64(stream) ^ index) >> 12U) + 0.5) * 0x1p-52;
}

/// Element `index` of a stream of standard normal numbers (Box and Muller 1958).
double counter_normal(std::uint64_t index, CounterKey key) noexcept;

}  // namespace gradstab::lab::nn
