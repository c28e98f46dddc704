// Tensors that the caller owns: their element types, references to their memory, and the names and shapes by
// which state is keyed.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "gradstab/export.hpp"
#include "gradstab/status.hpp"

namespace gradstab {

enum class DType : std::uint8_t { float32, float64, float16, bfloat16 };

inline constexpr std::size_t kDTypeCount = 4;

/// "float32", "float64", "float16" or "bfloat16".
GRADSTAB_API std::string_view to_string(DType dtype) noexcept;

/// Bytes of one element.
constexpr std::size_t size_of(DType dtype) noexcept {
  switch (dtype) {
    case DType::float32:
      return 4;
    case DType::float64:
      return 8;
    case DType::float16:
    case DType::bfloat16:
      return 2;
  }
  return 0;
}

/// IEEE 754 binary16: 1 sign, 5 exponent, 10 fraction bits. Storage only.
struct Float16 {
  std::uint16_t bits;
};

/// bfloat16: the upper half of a binary32. Storage only.
struct BFloat16 {
  std::uint16_t bits;
};

constexpr float to_float(BFloat16 value) noexcept {
  return std::bit_cast<float>(static_cast<std::uint32_t>(value.bits) << 16);
}

constexpr float to_float(Float16 value) noexcept {
  const std::uint32_t sign = static_cast<std::uint32_t>(value.bits & 0x8000u) << 16;
  const std::uint32_t magnitude = value.bits & 0x7FFFu;
  if (magnitude >= 0x7C00u) return std::bit_cast<float>(sign | 0x7F800000u | ((magnitude & 0x3FFu) << 13));
  if (magnitude >= 0x0400u) return std::bit_cast<float>(sign | ((magnitude << 13) + ((127u - 15u) << 23)));
  // Subnormal: an integer multiple of 2^-24, exact in binary32.
  const float small = static_cast<float>(magnitude) * 0x1p-24f;
  return std::bit_cast<float>(sign | std::bit_cast<std::uint32_t>(small));
}

/// Rounds to nearest, ties to even, once: the argument is a double so that a product of a 16-bit value and a
/// double factor is not rounded twice on its way to 16 bits. NaN stays NaN (quiet), overflow becomes
/// infinity.
GRADSTAB_API BFloat16 to_bfloat16(double value) noexcept;
GRADSTAB_API Float16 to_float16(double value) noexcept;

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

/// Whether two elements are the same memory (for example by a stride of 0), as far as strides tell. Such a
/// tensor can be read, but not written.
GRADSTAB_API bool overlaps_itself(const TensorRef& tensor) noexcept;

struct Parameter {
  std::string name;
  std::vector<std::int64_t> sizes;
};

/// An ordered list of uniquely named parameters. Gradients are passed to a transform in this order; state is
/// saved under these names, so that a checkpoint survives re-ordering and a mismatch can say which name or
/// shape differs.
class ParameterSet {
 public:
  ParameterSet() = default;

  /// Errors: an empty or repeated name, a negative size, more than 2^60 elements in one tensor.
  GRADSTAB_API static Result<ParameterSet> create(std::vector<Parameter> parameters);

  std::size_t size() const noexcept { return parameters_.size(); }
  const Parameter& operator[](std::size_t index) const noexcept { return parameters_[index]; }
  auto begin() const noexcept { return parameters_.begin(); }
  auto end() const noexcept { return parameters_.end(); }

  /// The position of a name, or -1.
  GRADSTAB_API std::ptrdiff_t find(std::string_view name) const noexcept;

 private:
  std::vector<Parameter> parameters_;
  std::vector<std::size_t> by_name_;  // positions in parameters_, sorted by name
};

/// "[4096, 1024]"
GRADSTAB_API std::string shape_text(const std::vector<std::int64_t>& sizes);

}  // namespace gradstab
