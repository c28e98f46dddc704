// Rows on what each method costs: docs/methods.md has them in its table.
#pragma once

#include "results.hpp"
#include "settings.hpp"

namespace gradstab::bench {

/// Throws std::runtime_error when a method does not do its work.
void add_method_rows(const Settings& settings, unsigned threads, Results& results);

}  // namespace gradstab::bench
