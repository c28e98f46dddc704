#include "core/norm_moments_state.hpp"

#include <cmath>

#include "gradstab/decide.hpp"

namespace gradstab {
namespace {

bool is_amount(double value) noexcept {
  return std::isfinite(value) && value >= 0.0;
}

/// Whether `decide` can have left these behind.
bool plausible(const NormMoments& moments) noexcept {
  const bool counts = moments.step >= 0 && moments.nonfinite >= 0 && moments.zeros >= 0;
  const bool streak = moments.streak > -kRobustPatience && moments.streak < kRobustPatience &&
                      is_amount(moments.streak_norm) && (moments.streak != 0) == (moments.streak_norm > 0.0);
  return counts && streak && is_amount(moments.first) && is_amount(moments.second);
}

}  // namespace

void save_moments(ByteWriter& writer, const NormMoments& moments) {
  writer.put(moments.first);
  writer.put(moments.second);
  writer.put(moments.step);
  writer.put(moments.nonfinite);
  writer.put(moments.zeros);
  writer.put(moments.exponent);
  writer.put(moments.streak);
  writer.put(moments.streak_norm);
}

Result<NormMoments> load_moments(ByteReader& reader) {
  NormMoments moments;
  moments.first = reader.get<double>();
  moments.second = reader.get<double>();
  moments.step = reader.get<std::int64_t>();
  moments.nonfinite = reader.get<std::int64_t>();
  moments.zeros = reader.get<std::int64_t>();
  moments.exponent = reader.get<std::int32_t>();
  moments.streak = reader.get<std::int32_t>();
  moments.streak_norm = reader.get<double>();
  if (!reader.ok()) return Status(StatusCode::corrupt_data, "state ends inside its norm moments");
  if (!plausible(moments)) return Status(StatusCode::corrupt_data, "state holds impossible norm moments");
  return moments;
}

}  // namespace gradstab
