#include "core/norm_moments_state.hpp"

#include <cmath>

namespace gradstab {

void save_moments(ByteWriter& writer, std::span<const NormMoments> moments) {
  for (const NormMoments& unit : moments) {
    writer.put(unit.first);
    writer.put(unit.second);
    writer.put(unit.step);
    writer.put(unit.nonfinite);
    writer.put(unit.zeros);
    writer.put(unit.exponent);
  }
}

Status load_moments(ByteReader& reader, std::span<const std::ptrdiff_t> position,
                    std::vector<NormMoments>& moments) {
  for (const std::ptrdiff_t target : position) {
    NormMoments unit;
    unit.first = reader.get<double>();
    unit.second = reader.get<double>();
    unit.step = reader.get<std::int64_t>();
    unit.nonfinite = reader.get<std::int64_t>();
    unit.zeros = reader.get<std::int64_t>();
    unit.exponent = reader.get<std::int32_t>();
    const bool plausible = std::isfinite(unit.first) && std::isfinite(unit.second) && unit.first >= 0.0 &&
                           unit.second >= 0.0 && unit.step >= 0 && unit.nonfinite >= 0 && unit.zeros >= 0;
    if (!reader.ok() || !plausible) return {StatusCode::corrupt_data, "state holds impossible norm moments"};
    if (target >= 0) moments[static_cast<std::size_t>(target)] = unit;
  }
  return {};
}

}  // namespace gradstab
