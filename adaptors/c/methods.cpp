// Methods by their names, and what is known about them.
#include "gradstab/methods.hpp"

#include <string>
#include <utility>

#include "errors.hpp"
#include "gradstab/gradstab.h"
#include "make_transform.hpp"
#include "settings.hpp"
#include "structs.hpp"

using namespace gradstab;

namespace {

Result<SettingText> read_setting(const gradstab_setting& given, size_t index) {
  if (given.name == nullptr) return c::invalid("name of setting ", index, " is NULL, expected a text");
  return SettingText{given.name, given.text == nullptr ? setting_text(given.number) : given.text};
}

/// The method with its settings in words.
Result<MethodText> read_method(const char* method, const gradstab_setting* settings, size_t count,
                               const gradstab_units* units) {
  if (method == nullptr) return c::null_argument("method", "the name of a method");
  if (settings == nullptr && count > 0) return c::null_argument("settings", "an array of ", count);
  const auto found = find_method(method);
  if (!found) return found.status();
  MethodText text{std::string((*found)->name), {}};
  for (size_t i = 0; i < count; ++i) {
    auto read = read_setting(settings[i], i);
    if (!read) return read.status();
    text.settings.push_back(std::move(*read));
  }
  if (units == nullptr) return text;
  if (!(*found)->has_units) return c::invalid("units are given, but ", (*found)->name, " has none");
  const auto chosen = c::read_units(units);
  if (!chosen) return chosen.status();
  text.settings.push_back({"granularity", std::string(choice_name(chosen->granularity))});
  text.settings.push_back({"groups", setting_text(chosen->groups)});
  return text;
}

}  // namespace

gradstab_status gradstab_method(const char* method, const gradstab_setting* settings, size_t count,
                                const gradstab_units* units, gradstab_transform** transform) {
  return c::make_transform(transform, [&]() -> Result<GradientTransform> {
    const auto text = read_method(method, settings, count, units);
    if (!text) return text.status();
    return make_chain(std::span(&*text, 1));
  });
}

gradstab_status gradstab_transform_from_text(const char* text, gradstab_transform** transform) {
  return c::make_transform(transform, [&]() -> Result<GradientTransform> {
    if (text == nullptr) return c::null_argument("text", "a chain of methods");
    return transform_from_text(text);
  });
}

size_t gradstab_method_count(void) {
  return methods().size();
}

// The names and texts of the list are whole literals or strings, which end with a zero.

gradstab_status gradstab_method_info(size_t index, const char** name, const char** summary,
                                     size_t* setting_count) {
  return c::run([&]() -> Status {
    if (name != nullptr) *name = nullptr;
    if (summary != nullptr) *summary = nullptr;
    if (setting_count != nullptr) *setting_count = 0;
    if (index >= methods().size())
      return c::invalid("method ", index, " does not exist; there are ", methods().size());
    const MethodInfo& info = methods()[index];
    if (name != nullptr) *name = info.name.data();
    if (summary != nullptr) *summary = info.summary.data();
    if (setting_count != nullptr) *setting_count = info.settings.size();
    return {};
  });
}

gradstab_status gradstab_setting_info(const char* method, size_t index,
                                      gradstab_setting_description* description) {
  return c::run([&]() -> Status {
    if (method == nullptr) return c::null_argument("method", "the name of a method");
    if (description == nullptr) return c::null_argument("description", "a gradstab_setting_description");
    const size_t size = c::struct_size_of(description);
    GRADSTAB_RETURN_IF_ERROR(c::check_struct_size<gradstab_setting_description>(size));
    const auto found = find_method(method);
    if (!found) return found.status();
    const auto& settings = (*found)->settings;
    if (index >= settings.size())
      return c::invalid("setting ", index, " of ", (*found)->name, " does not exist; there are ",
                        settings.size());
    const SettingInfo& info = settings[index];
    const gradstab_setting_description value{
        .struct_size = size,
        .name = info.setting.name.data(),
        .help = info.setting.help.data(),
        .default_text = info.default_text.c_str(),
        .range = info.setting.range.text.empty() ? "" : info.setting.range.text.data()};
    c::write_struct(value, size, description);
    return {};
  });
}
