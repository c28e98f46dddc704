// Units: which elements share norm moments.
#pragma once

#include <cstddef>
#include <cstdint>
#include <iterator>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "gradstab/export.hpp"
#include "gradstab/settings.hpp"
#include "gradstab/status.hpp"

namespace gradstab {

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
/// characters, also none; everything else stands for itself.
struct UnitGroup {
  std::string name;
  std::vector<std::string> patterns;

  bool operator==(const UnitGroup&) const = default;
};

/// The units of one method. A unit is a set of elements with one norm, one set of moments and one factor: all
/// its elements are multiplied by the same number, so that the direction of the unit's gradient is kept.
struct Units {
  Granularity granularity = Granularity::tensor;
  std::vector<UnitGroup> groups = {};  ///< for Granularity::group; the first group that matches a name has it

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

}  // namespace gradstab
