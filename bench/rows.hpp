// The rows of the benchmark: what is timed against what, and how fast it should be.
#pragma once

#include <array>
#include <string>
#include <string_view>

#include "results.hpp"

namespace gradstab::bench {

/// What rows are about.
inline constexpr std::array<std::string_view, 3> kGroups = {"transforms", "optimizers", "methods"};

struct Settings {
  bool quick = false;
  int repeats = 9;
  std::string backend;  ///< see find_backend
  std::string only;     ///< one of kGroups, or empty for all
};

/// Throws std::runtime_error when a result to be timed is wrong.
Results run_all(const Settings& settings);

}  // namespace gradstab::bench
