// Compat: this library's form of a method, or its authors'.
#pragma once

#include <cstddef>
#include <cstdint>
#include <iterator>
#include <span>
#include <string_view>

namespace gradstab {

/// Where a method as its authors released it does what nobody would want, there is a choice. docs/methods.md
/// lists each difference with its reason.
enum class Compat : std::uint8_t {
  robust,    ///< zero and non-finite norms enter no statistics
  released,  ///< the authors' behaviour, defects included
};

inline constexpr std::string_view kCompatNames[] = {"robust", "released"};
static_assert(std::size(kCompatNames) == static_cast<std::size_t>(Compat::released) + 1);
constexpr std::span<const std::string_view> names_of(Compat) noexcept {
  return kCompatNames;
}

}  // namespace gradstab
