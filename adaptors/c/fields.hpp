// Between the fields of a C struct and the settings of the C++ options: matched by name, none left out.
#pragma once

#include <cstdint>
#include <string_view>
#include <tuple>
#include <type_traits>

#include "gradstab/options.hpp"
#include "gradstab/status.hpp"
#include "text.hpp"

namespace gradstab::c {

/// A field of a C struct by the name of the setting that it holds.
template <class Struct, class T>
struct Field {
  std::string_view name;
  T Struct::*member;
};
template <class Struct, class T>
Field(const char*, T Struct::*) -> Field<Struct, T>;
/// The one of struct S that is called as the setting is.
#define GRADSTAB_FIELD(name) \
  gradstab::c::Field {       \
#name, &S::name          \
  }

/// The fields of a C struct, a tuple of Field: `fields_of(std::type_identity<Struct>)` beside it.
template <class Struct, class Visit>
constexpr void for_each_field(Visit visit) {
  std::apply([&](const auto&... field) { (visit(field.name, field.member), ...); },
             fields_of(std::type_identity<Struct>{}));
}

/// Settings that hold lists are read by hand.
template <class T>
inline constexpr bool kIsScalar = std::is_arithmetic_v<T> || Choice<T>;

/// Whether any setting holds a list.
template <class Options>
consteval bool has_lists() {
  bool lists = false;
  visit_settings(std::type_identity<Options>{},
                 [&]<class T>(const Setting&, T Options::*) { lists = lists || !kIsScalar<T>; });
  return lists;
}

/// Whether a C struct has a field for every setting, and no other.
template <class Struct, class Options>
consteval bool covers() {
  int settings = 0;
  int matches = 0;
  int fields = 0;
  for_each_field<Struct>([&](std::string_view, auto) { ++fields; });
  visit_settings(std::type_identity<Options>{}, [&]<class T>(const Setting& setting, T Options::*) {
    if constexpr (kIsScalar<T>) {
      ++settings;
      for_each_field<Struct>([&](std::string_view name, auto) { matches += name == setting.name ? 1 : 0; });
    }
  });
  return settings == matches && settings == fields;
}

/// Calls visit(setting, field of the options, field of the struct) for every setting that both have.
template <class Options, class Struct, class Visit>
void for_each_pair(Options& options, Struct& given, Visit visit) {
  using Plain = std::remove_const_t<Struct>;
  static_assert(covers<Plain, std::remove_const_t<Options>>(),
                "the C struct lacks a setting, or has another");
  for_each_setting(options, [&](const Setting& setting, auto& field) {
    if constexpr (kIsScalar<std::remove_cvref_t<decltype(field)>>) {
      for_each_field<Plain>([&](std::string_view name, auto member) {
        if (name != setting.name) return;
        using Theirs = std::remove_cvref_t<decltype(given.*member)>;
        using Ours = std::remove_cvref_t<decltype(field)>;
        // What C has no type for is an int32_t there.
        constexpr bool kAsNumber = std::is_same_v<Theirs, std::int32_t> && !std::is_arithmetic_v<Ours>;
        constexpr bool kAsFlag = std::is_same_v<Theirs, std::int32_t> && std::is_same_v<Ours, bool>;
        if constexpr (kAsNumber || kAsFlag || std::is_same_v<Theirs, Ours>)
          visit(setting, field, given.*member);
      });
    }
  });
}

/// Fills the fields of a C struct.
template <class Options, class Struct>
void fill_struct(const Options& options, Struct& result) {
  for_each_pair(options, result, [](const Setting&, const auto& from, auto& to) {
    to = static_cast<std::remove_reference_t<decltype(to)>>(from);
  });
}

/// Reads them. Errors: a flag that is neither 0 nor 1, a choice that is none.
template <class Options, class Struct>
Status from_c(const Struct& given, Options& options) {
  Status status;
  for_each_pair(options, given, [&](const Setting& setting, auto& to, const auto& from) {
    using Ours = std::remove_reference_t<decltype(to)>;
    if constexpr (std::is_same_v<Ours, bool>) {
      if (from != 0 && from != 1 && status.ok())
        status = invalid(setting.name, " must be 0 or 1, got ", from);
    } else if constexpr (Choice<Ours>) {
      const auto count = static_cast<std::int32_t>(names_of(Ours{}).size());
      if ((from < 0 || from >= count) && status.ok())
        status = invalid(setting.name, " must be from 0 to ", count - 1, ", got ", from);
    }
    to = static_cast<Ours>(from);
  });
  return status;
}

}  // namespace gradstab::c
