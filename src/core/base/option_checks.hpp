// Whether the fields of an options struct are in the ranges of its list.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "core/base/text.hpp"
#include "gradstab/options.hpp"
#include "gradstab/status.hpp"

namespace gradstab::detail {

template <class Number>
Status check_number(const Setting& setting, Number value) {
  if (setting.range.contains(static_cast<double>(value))) return {};
  return {StatusCode::invalid_argument,
          concat(setting.name, " must be ", setting.range.text, ", got ", value)};
}

inline Status check_field(const Setting& setting, double value) {
  return check_number(setting, value);
}
inline Status check_field(const Setting& setting, std::int64_t value) {
  return check_number(setting, value);
}
inline Status check_field(const Setting&, bool) {
  return {};
}

template <Choice T>
Status check_field(const Setting& setting, T value) {
  if (!choice_name(value).empty()) return {};
  return {StatusCode::invalid_argument,
          concat(setting.name, " has no such choice, got value ", static_cast<int>(value))};
}

/// Patterns.
inline Status check_field(const Setting& setting, const std::vector<std::string>& patterns) {
  for (std::size_t i = 0; i < patterns.size(); ++i) {
    if (patterns[i].empty())
      return {StatusCode::invalid_argument, concat("pattern ", i, " of ", setting.name, " is empty")};
  }
  return {};
}

/// The first field outside its range: its name, its range and the value.
template <class Options>
Status check_ranges(const Options& options) {
  Status status;
  for_each_setting(options, [&](const Setting& setting, const auto& field) {
    if (status.ok()) status = check_field(setting, field);
  });
  return status;
}

}  // namespace gradstab::detail
