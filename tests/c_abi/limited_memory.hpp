// Calls that run out of memory at every allocation in turn.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <string>

#include "gradstab/gradstab.h"
#include "support/replaced_new.hpp"

namespace gradstab::testing {

/// prepare(), then call() with allocation 0, 1, 2, ... of it failing, until it succeeds. After each failure
/// check() looks at what is left. Returns how many failed.
int sweep(bool once, const std::function<void()>& prepare, const std::function<gradstab_status()>& call,
          const std::function<void()>& check);

/// How many files there are whose names begin like this one, temporary ones included.
int files_beginning_with(const std::string& path);

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
