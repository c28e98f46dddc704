#include "lab/support/permutation.hpp"

#include <algorithm>
#include <bit>
#include <utility>

#include "lab/support/hashing.hpp"

namespace gradstab::lab {
namespace {

// Four rounds make a Feistel network a good permutation; more help its tiny domains.
constexpr int kFeistelRounds = 8;

}  // namespace

std::uint64_t permuted_index(std::uint64_t index, std::uint64_t size, std::uint64_t key) noexcept {
  // A Feistel network permutes [0, 4^half_bits), which is at most 4 times too large; walking its cycle until
  // the value is inside [0, size) makes it a permutation of that range.
  const int half_bits = std::max(1, (static_cast<int>(std::bit_width(size - 1)) + 1) / 2);
  const std::uint64_t mask = (std::uint64_t{1} << half_bits) - 1;
  do {
    std::uint64_t left = index >> half_bits;
    std::uint64_t right = index & mask;
    for (int round = 0; round < kFeistelRounds; ++round) {
      const std::uint64_t mixed = mix64((key + static_cast<std::uint64_t>(round)) ^ mix64(right));
      left = std::exchange(right, left ^ (mixed & mask));
    }
    index = left << half_bits | right;
  } while (index >= size);
  return index;
}

}  // namespace gradstab::lab
