// Orders of training data as functions of a key.
#pragma once

#include <cstdint>

namespace gradstab::lab {

/// Element `index` of a pseudo-random permutation of [0, size) chosen by `key`. index < size.
std::uint64_t permuted_index(std::uint64_t index, std::uint64_t size, std::uint64_t key) noexcept;

}  // namespace gradstab::lab
