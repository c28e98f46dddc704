// Memory that runs out when a test says so. It replaces operator new, so its users have a program to
// themselves.
#pragma once

#include <gtest/gtest.h>

#include <functional>

#include "gradstab/gradstab.h"

namespace gradstab::testing {

/// Lets this thread make that many allocations more; the next one fails and, unless `once`, so do all after
/// it.
void limit_memory(long allocations, bool once);
void unlimit_memory();

/// prepare(), then call() with allocation 0, 1, 2, ... of it failing, until it succeeds. After each failure
/// check() looks at what is left. Returns how many failed.
int sweep(bool once, const std::function<void()>& prepare, const std::function<gradstab_status()>& call,
          const std::function<void()>& check);

/// With one allocation that fails, and with all from then on.
class LimitedMemoryTest : public ::testing::TestWithParam<bool> {
 protected:
  static int sweep(const std::function<void()>& prepare, const std::function<gradstab_status()>& call,
                   const std::function<void()>& check) {
    return testing::sweep(GetParam(), prepare, call, check);
  }
  static void nothing() {}
};

}  // namespace gradstab::testing
