// Saving and loading a list of NormMoments, one per tensor.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "core/state_codec.hpp"
#include "gradstab/moments.hpp"

namespace gradstab {

void save_moments(ByteWriter& writer, std::span<const NormMoments> moments);

/// Record i goes to moments[position[i]]; position -1 drops it. Errors: bytes that no run of `decide` leaves
/// behind.
Status load_moments(ByteReader& reader, std::span<const std::ptrdiff_t> position,
                    std::vector<NormMoments>& moments);

}  // namespace gradstab
