// The operator new of a test program: counts, and fails where a test wants it to. For programs that link
// gradstab_test_new.
#pragma once

#include <cstddef>

namespace gradstab::testing {

/// Allocations of the whole program so far.
std::size_t allocations();

/// The largest one in bytes since it was last forgotten.
std::size_t largest_allocation();
void forget_largest_allocation();

/// Lets this many allocations of this thread succeed; then one fails, or all do.
void limit_memory(long allocations, bool once);
void unlimit_memory();

}  // namespace gradstab::testing
