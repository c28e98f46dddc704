#include "support/replaced_new.hpp"

#include <atomic>
#include <cstdlib>
#include <new>

namespace {

std::atomic<std::size_t> count = 0;
std::atomic<std::size_t> largest = 0;

/// Allocations of this thread that still succeed; -1: all.
thread_local long remaining = -1;
/// Whether the failing allocation is followed by further ones, or by none.
thread_local bool fail_once = true;

void* allocate(std::size_t size) {
  if (remaining == 0) {
    if (fail_once) remaining = -1;
    throw std::bad_alloc();
  }
  if (remaining > 0) --remaining;
  count.fetch_add(1, std::memory_order_relaxed);
  if (size > largest.load(std::memory_order_relaxed)) largest.store(size, std::memory_order_relaxed);
  if (void* memory = std::malloc(size == 0 ? 1 : size)) return memory;
  throw std::bad_alloc();
}

void* allocate_or_null(std::size_t size) noexcept {
  try {
    return allocate(size);
  } catch (const std::bad_alloc&) {
    return nullptr;
  }
}

}  // namespace

void* operator new(std::size_t size) {
  return allocate(size);
}
void* operator new[](std::size_t size) {
  return allocate(size);
}
// Those that do not throw, too: the standard library's call the others, a sanitizer's do not.
void* operator new(std::size_t size, const std::nothrow_t&) noexcept {
  return allocate_or_null(size);
}
void* operator new[](std::size_t size, const std::nothrow_t&) noexcept {
  return allocate_or_null(size);
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

std::size_t allocations() {
  return count.load();
}

std::size_t largest_allocation() {
  return largest.load();
}

void forget_largest_allocation() {
  largest = 0;
}

void limit_memory(long allocations, bool once) {
  fail_once = once;
  remaining = allocations;
}

void unlimit_memory() {
  remaining = -1;
}

}  // namespace gradstab::testing
