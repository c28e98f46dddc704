// Saving and loading NormMoments.
#pragma once

#include "core/state_codec.hpp"
#include "gradstab/moments.hpp"

namespace gradstab {

void save_moments(ByteWriter& writer, const NormMoments& moments);

/// Errors: bytes that no run of `decide` leaves behind.
Result<NormMoments> load_moments(ByteReader& reader);

/// The same without asking what left them behind: as the released code would, it takes NaN as well.
Result<NormMoments> load_any_moments(ByteReader& reader);

}  // namespace gradstab
