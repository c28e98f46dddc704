// What a setting is, and the settings of GradientStabilizer: Units (what shares norm moments), Compat (whose
// form of a method is meant) and StabilizerOptions.
//
// Beside each options struct stands a list that says what its fields mean and which values they may have.
// Validation, saved states, texts such as "zclip(z_threshold=3)", the C interface, the Python package, the
// command line and the tables of the documents all read the settings from these lists.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "gradstab/export.hpp"
#include "gradstab/status.hpp"

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
  std::string_view name;            ///< the name of the field
  std::string_view help;            ///< what it means, in a line
  Range range = {};                 ///< of numbers and counts
  std::string_view formerly = {};   ///< an older name that still works in texts
  std::string_view published = {};  ///< its name in the authors' code and in recorded cases, if different
  bool label = false;               ///< it changes only what a report says, so states do not hold it
};

/// An options struct with a list of settings. The list is a function beside the struct:
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

/// If a method as its authors released it does something that nobody would want, this chooses between the two
/// forms. docs/methods.md lists each difference with its reason.
enum class Compat : std::uint8_t {
  robust,    ///< zero and non-finite norms enter no statistics
  released,  ///< the authors' behaviour, defects included
};

inline constexpr std::string_view kCompatNames[] = {"robust", "released"};
static_assert(std::size(kCompatNames) == static_cast<std::size_t>(Compat::released) + 1);
constexpr std::span<const std::string_view> names_of(Compat) noexcept {
  return kCompatNames;
}

/// How finely a method that keeps norm moments divides the parameters. The paper's method is per tensor.
enum class Granularity : std::uint8_t {
  tensor,  ///< every tensor has moments of its own
  row,     ///< every index of axis 0 has its own; tensors of rank 0 and 1 (biases, gains) are one unit each
  group,   ///< the tensors of a named group share theirs; a tensor in no group has its own
  model,   ///< all tensors share one
};

inline constexpr std::string_view kGranularityNames[] = {"tensor", "row", "group", "model"};
static_assert(std::size(kGranularityNames) == static_cast<std::size_t>(Granularity::model) + 1);
constexpr std::span<const std::string_view> names_of(Granularity) noexcept {
  return kGranularityNames;
}

/// "tensor", "row", "group" or "model".
GRADSTAB_API std::string_view to_string(Granularity granularity) noexcept;

/// Tensors that share moments: those whose name matches one of the patterns. In a pattern `*` stands for any
/// number of characters, including none; everything else stands for itself.
struct UnitGroup {
  std::string name;
  std::vector<std::string> patterns;

  bool operator==(const UnitGroup&) const = default;
};

/// The units of one method. A unit is a set of elements with one norm, one set of moments and one factor: all
/// its elements are multiplied by the same number, so that the direction of the unit's gradient is kept.
struct Units {
  Granularity granularity = Granularity::tensor;
  std::vector<UnitGroup> groups = {};  ///< for Granularity::group; a name is in the first group that matches

  static Units per_tensor() { return {}; }
  static Units per_row() { return {.granularity = Granularity::row}; }
  static Units whole_model() { return {.granularity = Granularity::model}; }
  static Units by_name(std::vector<UnitGroup> groups) {
    return {.granularity = Granularity::group, .groups = std::move(groups)};
  }

  /// Errors: groups without Granularity::group or the reverse, an empty or repeated group name, a group
  /// without patterns.
  GRADSTAB_API Status validate() const;

  bool operator==(const Units&) const = default;
};

template <class Visit>
constexpr void visit_settings(std::type_identity<Units>, Visit visit) {
  visit(Setting{"granularity", "what shares moments and a factor"}, &Units::granularity);
  visit(Setting{"groups", "with granularity group: patterns of parameter names by group"}, &Units::groups);
}

/// Settings of GradientStabilizer (arXiv 2502.17055v4). The defaults are the paper's gammas with bias
/// correction, the form of the authors' released code: a constant gradient norm then gives a stabilized norm
/// of exactly 1 at every step.
struct StabilizerOptions {
  double gamma1 = 0.6;    ///< decay of the first moment of the gradient norm, in [0, 1)
  double gamma2 = 0.999;  ///< decay of the second moment of the gradient norm, in [0, 1)
  /// Added to the root of the second moment, and a floor of the raw norm, as in the authors' code. It is
  /// absolute, so any value above 0 breaks scale invariance for norms near it; 0 is safe here because a zero
  /// norm never reaches the division.
  double epsilon = 0.0;
  bool bias_correction = true;  ///< divide each moment by one minus decay to the step count
  /// A norm above `spike_ratio` times the root of the bias-corrected second moment before it is flagged as a
  /// gradient spike in the report. Only a label: it changes nothing.
  double spike_ratio = 4.0;
  /// Robust moments, this project's own addition to the method: 0 switches them off (the published rule);
  /// above 1, a norm enters the moments as at most about `robust_kappa` times their bias-corrected mean, so
  /// that one spike cannot suppress the tensor afterwards and, with bias correction, no norm is stabilized to
  /// more than gamma1 + (1 - gamma1) robust_kappa. See docs/methods.md.
  double robust_kappa = 0.0;

  /// Algorithm 1 of the paper: no bias correction. The first step then has a stabilized norm of
  /// (1 - gamma1) / sqrt(1 - gamma2) = 12.65 for any gradient.
  static constexpr StabilizerOptions paper() {
    StabilizerOptions options;
    options.bias_correction = false;
    return options;
  }

  /// Exactly the authors' code: bias correction and an absolute epsilon of 1e-12.
  static constexpr StabilizerOptions released() {
    StabilizerOptions options;
    options.epsilon = 1e-12;
    return options;
  }

  /// The default form with robust moments. 3 is the value that was tested; smaller ones bound a spike's step
  /// more tightly, larger ones are closer to the published rule.
  static constexpr StabilizerOptions robust(double kappa = 3.0) {
    StabilizerOptions options;
    options.robust_kappa = kappa;
    return options;
  }

  /// Errors name the value and the range.
  GRADSTAB_API Status validate() const;

  bool operator==(const StabilizerOptions&) const = default;
};

inline constexpr Range kRobustKappa{"0 (off) or finite and above 1", 1.0, kUnbounded, false, false, true};

template <class Visit>
constexpr void visit_settings(std::type_identity<StabilizerOptions>, Visit visit) {
  using Options = StabilizerOptions;
  visit(Setting{"gamma1", "decay of the first moment of the gradient norm", kDecay}, &Options::gamma1);
  visit(Setting{"gamma2", "decay of the second moment of the gradient norm", kDecay}, &Options::gamma2);
  visit(
      Setting{
          .name = "epsilon",
          .help = "added to the root of the second moment, and a floor of the norm; 0 keeps scale invariance",
          .range = kFiniteNotNegative,
          .published = "eps"},
      &Options::epsilon);
  visit(Setting{"bias_correction", "divide each moment by one minus its decay to the count of norms"},
        &Options::bias_correction);
  visit(Setting{.name = "spike_ratio",
                .help = "a norm above this many roots of the second moment is labelled a spike",
                .range = kAboveZero,
                .label = true},
        &Options::spike_ratio);
  visit(Setting{.name = "robust_kappa",
                .help = "a norm enters the moments as at most this many times their mean; 0: off",
                .range = kRobustKappa,
                .formerly = "kappa"},
        &Options::robust_kappa);
}

}  // namespace gradstab
