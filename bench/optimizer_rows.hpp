// Rows on the fused optimizers: against LibTorch's own, and against the traffic that no step can avoid.
#pragma once

#include "results.hpp"
#include "settings.hpp"

namespace gradstab::bench {

/// Throws std::runtime_error when a result to be timed is wrong.
void add_optimizer_rows(const Settings& settings, unsigned threads, Results& results);

}  // namespace gradstab::bench
