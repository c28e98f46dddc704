#include "core/methods/norm_moments_state.hpp"

#include <cmath>

#include "core/base/floating_point.hpp"
#include "gradstab/decide.hpp"

namespace gradstab {
namespace {

bool is_amount(double value) noexcept {
  return detail::is_finite(value) && value >= 0.0;
}

/// Whether `value` * 2^`exponent` can be a mean of norms, which are doubles.
bool is_norm(double value, std::int32_t exponent) noexcept {
  return value == 0.0 || std::ilogb(value) + exponent <= 1024;
}

/// Whether `decide` can have left these behind. What passes here is what it can go on with: it never turns
/// moments that pass into some that do not, so that every state that is saved can be loaded.
bool plausible(const NormMoments& moments) noexcept {
  if (!is_count(moments.step) || !is_count(moments.nonfinite) || !is_count(moments.zeros)) return false;
  if (!is_amount(moments.first) || !is_amount(moments.second) || !is_amount(moments.streak_norm))
    return false;
  if (moments.exponent < -1074 || moments.exponent > 1024) return false;
  if (!is_norm(moments.first, moments.exponent)) return false;
  if (!is_norm(std::sqrt(moments.second), moments.exponent)) return false;
  if (moments.streak <= -kRobustPatience || moments.streak >= kRobustPatience) return false;
  if ((moments.streak != 0) != (moments.streak_norm > 0.0)) return false;
  if (moments.step == 0) return moments.first == 0.0 && moments.second == 0.0 && moments.streak == 0;
  return moments.second > 0.0;
}

}  // namespace

void save_moments(ByteWriter& writer, const NormMoments& moments) {
  writer.put("m", moments.first);
  writer.put("v", moments.second);
  writer.put("k", moments.step);
  writer.put("nonfinite", moments.nonfinite);
  writer.put("zeros", moments.zeros);
  writer.put("exponent", moments.exponent);
  writer.put("streak", moments.streak);
  writer.put("streak_norm", moments.streak_norm);
}

Result<NormMoments> load_any_moments(ByteReader& reader) {
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
  if (!is_count(moments.step)) return Status(StatusCode::corrupt_data, "state holds impossible norm moments");
  return moments;
}

Result<NormMoments> load_moments(ByteReader& reader) {
  auto moments = load_any_moments(reader);
  if (moments && !plausible(*moments))
    return Status(StatusCode::corrupt_data, "state holds impossible norm moments");
  return moments;
}

std::vector<StateField> moment_fields(std::span<const NormMoments> moments, std::string_view first,
                                      std::string_view second) {
  std::vector<StateField> fields = {{first, {}}, {second, {}}, {"k", {}}, {"skipped", {}}};
  for (const NormMoments& unit : moments) {
    fields[0].values.push_back(std::ldexp(unit.first, unit.exponent));
    fields[1].values.push_back(std::ldexp(unit.second, 2 * unit.exponent));
    fields[2].values.push_back(static_cast<double>(unit.step));
    fields[3].values.push_back(static_cast<double>(unit.nonfinite + unit.zeros));
  }
  return fields;
}

}  // namespace gradstab
