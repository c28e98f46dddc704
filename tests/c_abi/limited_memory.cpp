#include "limited_memory.hpp"

namespace gradstab::testing {

int sweep(bool once, const std::function<void()>& prepare, const std::function<gradstab_status()>& call,
          const std::function<void()>& check) {
  for (int n = 0; n < 10000; ++n) {
    prepare();
    limit_memory(n, once);
    const gradstab_status status = call();
    unlimit_memory();
    if (status == GRADSTAB_OK) return n;
    EXPECT_EQ(status, GRADSTAB_OUT_OF_MEMORY) << n;
    check();
    if (::testing::Test::HasFailure()) return n;
  }
  ADD_FAILURE() << "never succeeds";
  return 0;
}

}  // namespace gradstab::testing
