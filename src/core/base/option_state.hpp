// The settings of an options struct as a saved state holds them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/base/state_codec.hpp"
#include "gradstab/options.hpp"

namespace gradstab {

inline void put_field(SettingsWriter& writer, std::string_view name, double value) {
  writer.put(name, value);
}
inline void put_field(SettingsWriter& writer, std::string_view name, std::int64_t value) {
  writer.put(name, static_cast<double>(value));
}
inline void put_field(SettingsWriter& writer, std::string_view name, bool value) {
  writer.put(name, value ? 1.0 : 0.0);
}
template <Choice T>
void put_field(SettingsWriter& writer, std::string_view name, T value) {
  writer.put(name, choice_name(value));
}
inline void put_field(SettingsWriter& writer, std::string_view name,
                      const std::vector<std::string>& patterns) {
  std::string text;
  for (const std::string& pattern : patterns) text += pattern + ";";
  writer.put(name, text);
}

/// All that change what is computed, in the order of the list.
template <class Options>
void put_settings(SettingsWriter& writer, const Options& options) {
  for_each_setting(options, [&](const Setting& setting, const auto& field) {
    if (!setting.label) put_field(writer, setting.name, field);
  });
}

}  // namespace gradstab
