#include "lab/replay/settings.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <limits>
#include <utility>

#include "lab/replay/numbers.hpp"

namespace gradstab::lab {

Settings::Settings(nlohmann::json recorded, const std::map<std::string, std::string>& overrides)
    : values_(std::move(recorded)) {
  for (const auto& [name, text] : overrides) {
    auto parsed = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
    values_[name] = parsed.is_discarded() ? nlohmann::json(text) : std::move(parsed);
    overrides_.insert(name);
  }
}

nlohmann::json Settings::take(const std::string& name) {
  known_.insert(name);
  return values_.value(name, nlohmann::json());
}

void Settings::refuse(const std::string& name, const nlohmann::json& value, const char* expected) {
  if (!error_.ok()) return;
  error_ = {overridden(name) ? StatusCode::invalid_argument : StatusCode::corrupt_data,
            fmt::format("setting {} must be {}, got {}", name, expected, shown(value))};
}

bool Settings::has(const std::string& name) const {
  return values_.contains(name);
}

void Settings::read(const std::string& name, double& field) {
  const auto value = take(name);
  if (value.is_number()) {
    field = value.get<double>();
  } else if (value == "inf" || (value.is_null() && has(name))) {
    field = std::numeric_limits<double>::infinity();
  } else if (!value.is_null()) {
    refuse(name, value, "a number");
  }
}

void Settings::read(const std::string& name, std::int64_t& field) {
  const auto value = take(name);
  if (value.is_number_integer()) {
    field = value.get<std::int64_t>();
  } else if (!value.is_null()) {
    refuse(name, value, "a whole number");
  }
}

void Settings::read(const std::string& name, bool& field) {
  const auto value = take(name);
  if (value.is_boolean()) {
    field = value.get<bool>();
  } else if (!value.is_null()) {
    refuse(name, value, "true or false");
  }
}

void Settings::read(const std::string& name, std::string& field) {
  const auto value = take(name);
  if (value.is_string()) {
    field = value.get<std::string>();
  } else if (!value.is_null()) {
    refuse(name, value, "a word");
  }
}

Status Settings::status() const {
  if (!error_.ok()) return error_;
  for (const std::string& name : overrides_) {
    if (known_.contains(name)) continue;
    return {StatusCode::invalid_argument,
            fmt::format("unknown setting '{}'; this method has: {}", name, fmt::join(known_, ", "))};
  }
  return {};
}

}  // namespace gradstab::lab
