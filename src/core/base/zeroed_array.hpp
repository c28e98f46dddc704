// ZeroedArray: the memory of state arrays.
#pragma once

#include <cstddef>
#include <cstdlib>
#include <memory>
#include <new>

namespace gradstab {

/// Zeros that cost no memory until they are written.
class ZeroedArray {
 public:
  ZeroedArray() = default;
  /// Throws std::bad_alloc.
  explicit ZeroedArray(std::size_t bytes) : data_(std::calloc(bytes == 0 ? 1 : bytes, 1)), bytes_(bytes) {
    if (!data_) throw std::bad_alloc();
  }

  std::byte* data() const noexcept { return static_cast<std::byte*>(data_.get()); }
  std::size_t bytes() const noexcept { return bytes_; }

 private:
  struct Free {
    void operator()(void* pointer) const noexcept { std::free(pointer); }
  };
  std::unique_ptr<void, Free> data_;
  std::size_t bytes_ = 0;
};

}  // namespace gradstab
