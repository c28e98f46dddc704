#include "lab/replay/recorded_settings.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <limits>
#include <utility>

#include "lab/replay/numbers.hpp"

namespace gradstab::lab {

RecordedSettings::RecordedSettings(Json recorded, const std::map<std::string, std::string>& overrides)
    : values_(std::move(recorded)) {
  for (const auto& [name, text] : overrides) {
    auto parsed = parse_json(text, "");
    values_[name] = parsed ? *std::move(parsed) : Json(text);
    overrides_.insert(name);
  }
}

Json RecordedSettings::take(const std::string& name) {
  known_.insert(name);
  return values_.value(name, Json());
}

void RecordedSettings::refuse(const std::string& name, const Json& value, const char* expected) {
  if (!error_.ok()) return;
  error_ = {overridden(name) ? StatusCode::invalid_argument : StatusCode::corrupt_data,
            fmt::format("setting {} must be {}, got {}", name, expected, shown(value))};
}

bool RecordedSettings::has(const std::string& name) const {
  return values_.contains(name);
}

void RecordedSettings::read(const std::string& name, double& field) {
  const auto value = take(name);
  if (const auto number = as_number(value)) {
    field = *number;
  } else if (value == "inf" || (value.is_null() && has(name))) {
    field = std::numeric_limits<double>::infinity();
  } else if (!value.is_null()) {
    refuse(name, value, "a number");
  }
}

/// What every other type has in common: `as` says whether a value is one.
template <class T>
void RecordedSettings::read_typed(const std::string& name, std::optional<T> (*as)(const Json&),
                                  const char* expected, T& field) {
  const auto value = take(name);
  if (value.is_null()) return;
  if (auto found = as(value)) {
    field = *std::move(found);
  } else {
    refuse(name, value, expected);
  }
}

void RecordedSettings::read(const std::string& name, std::int64_t& field) {
  read_typed(name, as_whole, "a whole number", field);
}

void RecordedSettings::read(const std::string& name, std::uint64_t& field) {
  read_typed(name, as_unsigned, "a whole number of at least 0", field);
}

void RecordedSettings::read(const std::string& name, bool& field) {
  read_typed(name, as_truth, "true or false", field);
}

void RecordedSettings::read(const std::string& name, std::string& field) {
  read_typed(name, as_text, "a word", field);
}

std::optional<std::string> RecordedSettings::text(const std::string& name, SettingKind kind) {
  const auto read_as = [&](auto field, auto shown) -> std::optional<std::string> {
    const bool there = has(name) && (kind == SettingKind::number || !values_.at(name).is_null());
    read(name, field);
    return there && error_.ok() ? std::optional(shown(field)) : std::nullopt;
  };
  switch (kind) {
    case SettingKind::number:
      return read_as(0.0, [](double value) { return setting_text(value); });
    case SettingKind::count:
      return read_as(std::int64_t{0}, [](std::int64_t value) { return std::to_string(value); });
    case SettingKind::flag:
      return read_as(false, [](bool value) { return std::string(value ? "true" : "false"); });
    case SettingKind::choice:
    case SettingKind::patterns:
    case SettingKind::groups:
    case SettingKind::overrides:
      break;
  }
  return read_as(std::string(), [](const std::string& value) { return value; });
}

Status RecordedSettings::status() const {
  if (!error_.ok()) return error_;
  for (const std::string& name : overrides_) {
    if (known_.contains(name)) continue;
    return {StatusCode::invalid_argument,
            fmt::format("unknown setting '{}'; this method has: {}", name, fmt::join(known_, ", "))};
  }
  return {};
}

}  // namespace gradstab::lab
