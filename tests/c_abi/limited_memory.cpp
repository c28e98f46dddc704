#include "limited_memory.hpp"

#include <filesystem>

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

int files_beginning_with(const std::string& path) {
  const std::filesystem::path whole = path;
  const std::string name = whole.filename();
  int count = 0;
  for (const auto& entry : std::filesystem::directory_iterator(whole.parent_path()))
    count += entry.path().filename().string().rfind(name, 0) == 0 ? 1 : 0;
  return count;
}

}  // namespace gradstab::testing
