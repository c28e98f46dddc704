// Settings: the list that stands beside each options struct, of what its fields mean and may be.
//
// Validation, saved states, texts such as "zclip(z_threshold=3)", the C interface, the Python package, the
// command line and the tables of the documents all read the settings from these lists.
#pragma once

#include <concepts>
#include <cstddef>
#include <limits>
#include <span>
#include <string_view>
#include <type_traits>

namespace gradstab {

/// The numbers that a setting may have. NaN is in no range.
struct Range {
  std::string_view text = {};  ///< how errors and documents say it: "must be " and this
  double low = -std::numeric_limits<double>::infinity();
  double high = std::numeric_limits<double>::infinity();
  bool with_low = true;   ///< whether `low` itself is in it
  bool with_high = true;  ///< whether `high` itself is
  bool or_zero = false;   ///< 0 is in it as well: it switches something off

  constexpr bool contains(double value) const noexcept {
    if (or_zero && value == 0.0) return true;
    return (with_low ? value >= low : value > low) && (with_high ? value <= high : value < high);
  }
};

inline constexpr double kUnbounded = std::numeric_limits<double>::infinity();
inline constexpr Range kFinite{"finite", -kUnbounded, kUnbounded, false, false};
inline constexpr Range kFiniteAboveZero{"finite and above 0", 0.0, kUnbounded, false, false};
inline constexpr Range kFiniteNotNegative{"finite and at least 0", 0.0, kUnbounded, true, false};
inline constexpr Range kAboveZero{"above 0", 0.0, kUnbounded, false, true};
inline constexpr Range kAboveZeroOrNone{"above 0, or infinite for none", 0.0, kUnbounded, false, true};
inline constexpr Range kDecay{"in [0, 1)", 0.0, 1.0, true, false};
inline constexpr Range kFraction{"in [0, 1]", 0.0, 1.0};
inline constexpr Range kAtLeastZero{"at least 0", 0.0};
inline constexpr Range kAtLeastOne{"at least 1", 1.0};

/// Everything that is known about one field of an options struct.
struct Setting {
  std::string_view name;            ///< that of the field
  std::string_view help;            ///< what it means, in a line
  Range range = {};                 ///< of numbers and counts
  std::string_view formerly = {};   ///< an older name that still works in texts
  std::string_view published = {};  ///< its name in the authors' code and in recorded cases, where another
  bool label = false;  ///< it changes what a report says and nothing else, so that states do not hold it
};

/// An options struct with a list, which is a function beside the struct:
///
///   template <class Visit>
///   constexpr void visit_settings(std::type_identity<XOptions>, Visit visit) {
///     visit(Setting{"gamma1", "decay of the first moment", kDecay}, &XOptions::gamma1);
///   }
template <class Options>
concept HasSettings = requires {
  visit_settings(std::type_identity<Options>{}, [](const Setting&, auto) {});
};

/// Calls visit(setting, field) for every setting, in the order of the list.
template <class Options, class Visit>
requires HasSettings<std::remove_const_t<Options>>
constexpr void for_each_setting(Options& options, Visit visit) {
  visit_settings(std::type_identity<std::remove_const_t<Options>>{},
                 [&](const Setting& setting, auto member) { visit(setting, options.*member); });
}

/// An enumeration whose values count from 0 and have names: a function names_of(value) beside it returns all
/// of them.
template <class T>
concept Choice = std::is_enum_v<T> && requires(T value) {
  { names_of(value) } -> std::convertible_to<std::span<const std::string_view>>;
};

/// The name of a value; empty if it is none of the enumeration's.
template <Choice T>
constexpr std::string_view choice_name(T value) noexcept {
  const std::span<const std::string_view> names = names_of(value);
  const auto index = static_cast<std::size_t>(value);
  return index < names.size() ? names[index] : std::string_view();
}

/// Puts the value of that name into `value`; false if there is none.
template <Choice T>
constexpr bool choice_named(std::string_view name, T& value) noexcept {
  const std::span<const std::string_view> names = names_of(value);
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (names[i] != name) continue;
    value = static_cast<T>(i);
    return true;
  }
  return false;
}

}  // namespace gradstab
