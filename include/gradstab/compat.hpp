// Compat: this library's form of a method, or its authors'.
#pragma once

#include <cstdint>

namespace gradstab {

/// Where a method as its authors released it does what nobody would want, there is a choice. docs/methods.md
/// lists each difference with its reason.
enum class Compat : std::uint8_t {
  robust,    ///< zero and non-finite norms enter no statistics
  released,  ///< the authors' behaviour, defects included
};

}  // namespace gradstab
