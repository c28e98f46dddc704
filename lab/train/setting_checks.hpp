// Checks of single settings, with messages of one form: "batch must be at least 1, got 0".
#pragma once

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cmath>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "gradstab/status.hpp"

namespace gradstab::lab {

/// "NAME must be EXPECTED, got VALUE"
inline Status invalid_setting(std::string_view name, std::string_view expected, const auto& value) {
  return {StatusCode::invalid_argument, fmt::format("{} must be {}, got {}", name, expected, value)};
}

inline Status one_of(std::string_view name, std::span<const std::string_view> known,
                     const std::string& value) {
  for (const std::string_view candidate : known) {
    if (value == candidate) return {};
  }
  return invalid_setting(name, fmt::format("one of {}", fmt::join(known, ", ")), "'" + value + "'");
}

inline Status at_least(std::string_view name, std::int64_t minimum, std::int64_t value) {
  if (value >= minimum) return {};
  return invalid_setting(name, fmt::format("at least {}", minimum), value);
}

/// Sizes far beyond any use, so that products of them fit 64 bits.
inline Status within(std::string_view name, std::int64_t minimum, std::int64_t maximum, std::int64_t value) {
  GRADSTAB_RETURN_IF_ERROR(at_least(name, minimum, value));
  return value <= maximum ? Status() : invalid_setting(name, fmt::format("at most {}", maximum), value);
}

/// In [0, 1).
inline Status decay(std::string_view name, double value) {
  return value >= 0.0 && value < 1.0 ? Status() : invalid_setting(name, "in [0, 1)", value);
}

inline Status positive(std::string_view name, double value) {
  return value > 0.0 && std::isfinite(value) ? Status() : invalid_setting(name, "finite and above 0", value);
}

inline Status not_negative(std::string_view name, double value) {
  return value >= 0.0 && std::isfinite(value) ? Status()
                                              : invalid_setting(name, "finite and at least 0", value);
}

}  // namespace gradstab::lab
