// The block: in what pieces elements are summed and rounded at random.
#pragma once

#include <cstdint>

namespace gradstab {

/// Elements of a block. On the CPU partial sums of blocks are added in order. Everywhere a block has one key
/// of stochastic rounding, so that every device draws the same numbers.
inline constexpr std::int64_t kBlockElements = 64 * 1024;

}  // namespace gradstab
