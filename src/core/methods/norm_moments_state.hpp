// Saving, loading and showing NormMoments.
#pragma once

#include <span>
#include <string_view>
#include <vector>

#include "core/base/state_codec.hpp"
#include "gradstab/decide.hpp"
#include "gradstab/transform.hpp"

namespace gradstab {

void save_moments(ByteWriter& writer, const NormMoments& moments);

/// Errors: bytes that no run of `decide` leaves behind.
Result<NormMoments> load_moments(ByteReader& reader);

/// The same without asking what left them behind: as the released code would, it takes NaN as well.
Result<NormMoments> load_any_moments(ByteReader& reader);

/// Both moments under these names, then "k" and "skipped".
std::vector<StateField> moment_fields(std::span<const NormMoments> moments, std::string_view first,
                                      std::string_view second);

}  // namespace gradstab
