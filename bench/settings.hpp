// What is timed, how often and by which backend.
#pragma once

#include <array>
#include <string>
#include <string_view>

namespace gradstab::bench {

/// What rows are about.
inline constexpr std::array<std::string_view, 3> kGroups = {"transforms", "optimizers", "methods"};

struct Settings {
  bool quick = false;
  int repeats = 9;
  std::string backend;  ///< see find_backend
  std::string only;     ///< one of kGroups, or empty for all
};

}  // namespace gradstab::bench
