// The rows of the benchmark: what is timed against what, and how fast it should be.
#pragma once

#include "results.hpp"
#include "settings.hpp"

namespace gradstab::bench {

/// Throws std::runtime_error when a result to be timed is wrong.
Results run_all(const Settings& settings);

}  // namespace gradstab::bench
