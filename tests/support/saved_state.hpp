// The part of a saved state that a transform of one method wrote about itself.
#pragma once

#include <cstddef>
#include <cstring>
#include <vector>

#include "gradstab/transform.hpp"

namespace gradstab::testing {

/// Reads numbers one after another; throws past the end.
class SavedState {
 public:
  explicit SavedState(const GradientTransform& transform);

  template <class T>
  T get() {
    T value;
    std::memcpy(&value, take(sizeof value), sizeof value);
    return value;
  }
  std::size_t remaining() const { return bytes_.size() - position_; }

 private:
  const std::byte* take(std::size_t count);

  std::vector<std::byte> bytes_;
  std::size_t position_ = 0;
};

}  // namespace gradstab::testing
