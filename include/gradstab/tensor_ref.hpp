// TensorRef: a tensor that belongs to somebody else.
#pragma once

#include <cstdint>
#include <span>

#include "gradstab/dtype.hpp"

namespace gradstab {

enum class DeviceType : std::uint8_t { cpu, cuda };

/// Pointer, element type, sizes and strides of a tensor. Never owns: `data`, `sizes` and `strides` must
/// outlive the call that receives the reference. Element (i, j, ...) is at data + (i*strides[0] +
/// j*strides[1] +
/// ...) elements. Empty `strides` means row-major contiguous. `data == nullptr` means that there is no
/// gradient in this step.
struct TensorRef {
  void* data = nullptr;
  DType dtype = DType::float32;
  std::span<const std::int64_t> sizes;
  std::span<const std::int64_t> strides;
  DeviceType device = DeviceType::cpu;
  /// The memory holds only the stored values of a sparse gradient, each element of it at most once (a
  /// coalesced COO tensor): `sizes` are then those of the values, the rest of the gradient is zero. Its norm
  /// and direction are those of its values. Not for methods that work per row.
  bool sparse_values = false;
};

/// Product of the sizes; 1 for rank 0.
constexpr std::int64_t element_count(std::span<const std::int64_t> sizes) noexcept {
  std::int64_t count = 1;
  for (const std::int64_t size : sizes) count *= size;
  return count;
}

}  // namespace gradstab
