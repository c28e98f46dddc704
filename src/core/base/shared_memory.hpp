// SharedMemory: finds tensors that lie in the same memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

namespace gradstab {

/// The memory of the tensors of one step.
///
/// Overlap is found where a tensor begins inside a dense one, whose extent is its memory, and where any two
/// begin at the same address; views that interleave without sharing an element are welcome, and ones that
/// share elements further in are not found.
class SharedMemory {
 public:
  void bind(std::size_t count);

  /// `bytes` are those of a dense tensor, else 0. Without data or elements the tensor takes no memory.
  void set(std::size_t tensor, const void* data, std::size_t bytes, bool empty) noexcept {
    extents_[tensor] = {empty ? 0 : reinterpret_cast<std::uintptr_t>(data), bytes};
  }

  /// Two tensors that share memory, if any do. Costs one look at each tensor while their order in memory
  /// stays the same.
  std::optional<std::pair<std::size_t, std::size_t>> find() noexcept;

 private:
  struct Extent {
    std::uintptr_t address = 0;  // 0: none
    std::uintptr_t bytes = 0;    // 0: unknown
  };
  std::vector<Extent> extents_;
  std::vector<std::size_t> by_address_;  // tensors, in the order of their memory in the last step
};

}  // namespace gradstab
