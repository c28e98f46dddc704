// Values of settings as texts.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/text.hpp"
#include "gradstab/methods.hpp"

namespace gradstab::detail {

/// The field as a text.
inline std::string text_of(double value) {
  return setting_text(value);
}
inline std::string text_of(std::int64_t value) {
  return concat(value);
}
inline std::string text_of(bool value) {
  return value ? "true" : "false";
}
template <Choice T>
std::string text_of(T value) {
  return std::string(choice_name(value));
}
template <class Element>
std::string text_of(const std::vector<Element>& list) {
  return setting_text(list);
}

/// The kind of a field.
constexpr SettingKind kind_of(double) {
  return SettingKind::number;
}
constexpr SettingKind kind_of(std::int64_t) {
  return SettingKind::count;
}
constexpr SettingKind kind_of(bool) {
  return SettingKind::flag;
}
constexpr SettingKind kind_of(Choice auto) {
  return SettingKind::choice;
}
inline SettingKind kind_of(const std::vector<std::string>&) {
  return SettingKind::patterns;
}
inline SettingKind kind_of(const std::vector<UnitGroup>&) {
  return SettingKind::groups;
}
inline SettingKind kind_of(const std::vector<AdamMiniOptions::Override>&) {
  return SettingKind::overrides;
}

/// Reads a text into a field, which stays as it is where that fails; empty or what was expected.
std::string read_text(std::string_view text, double& field);
std::string read_text(std::string_view text, std::int64_t& field);
std::string read_text(std::string_view text, bool& field);
std::string read_text(std::string_view text, std::vector<std::string>& field);
std::string read_text(std::string_view text, std::vector<UnitGroup>& field);
std::string read_text(std::string_view text, std::vector<AdamMiniOptions::Override>& field);
template <Choice T>
std::string read_text(std::string_view text, T& field) {
  if (choice_named(text, field)) return {};
  std::string expected;
  for (const std::string_view name : names_of(field))
    expected += concat(expected.empty() ? "one of '" : ", '", name, "'");
  return expected;
}

/// Of several names the one that is most like `word`, where one is like it at all; otherwise empty.
std::string_view nearest(std::string_view word, const std::vector<std::string_view>& names);

}  // namespace gradstab::detail
