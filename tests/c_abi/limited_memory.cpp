#include "limited_memory.hpp"

#include <cstdlib>
#include <new>

namespace {

/// Allocations of this thread that still succeed; -1: all.
thread_local long remaining = -1;
/// Whether the failing allocation is followed by further ones, or by none.
thread_local bool fail_once = true;

void* limited(std::size_t size) {
  if (remaining == 0) {
    if (fail_once) remaining = -1;
    throw std::bad_alloc();
  }
  if (remaining > 0) --remaining;
  if (void* memory = std::malloc(size == 0 ? 1 : size)) return memory;
  throw std::bad_alloc();
}

}  // namespace

void* operator new(std::size_t size) {
  return limited(size);
}
void* operator new[](std::size_t size) {
  return limited(size);
}
void operator delete(void* memory) noexcept {
  std::free(memory);
}
void operator delete[](void* memory) noexcept {
  std::free(memory);
}
void operator delete(void* memory, std::size_t) noexcept {
  std::free(memory);
}
void operator delete[](void* memory, std::size_t) noexcept {
  std::free(memory);
}

namespace gradstab::testing {

void limit_memory(long allocations, bool once) {
  fail_once = once;
  remaining = allocations;
}

void unlimit_memory() {
  remaining = -1;
}

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
