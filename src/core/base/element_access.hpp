// One element of a tensor of any dtype, as a double.
#pragma once

#include <cstddef>
#include <cstring>

#include "gradstab/tensor.hpp"

namespace gradstab {

inline double load_element(const std::byte* element, DType dtype) noexcept {
  const auto read = [element]<class T>(T value) {
    std::memcpy(&value, element, sizeof value);
    return value;
  };
  switch (dtype) {
    case DType::float32:
      return read(float{});
    case DType::float64:
      return read(double{});
    case DType::float16:
      return to_float(read(Float16{}));
    case DType::bfloat16:
      return to_float(read(BFloat16{}));
  }
  return 0.0;
}

/// Rounds once, to the nearest.
inline void store_element(std::byte* element, DType dtype, double value) noexcept {
  const auto write = [element]<class T>(T rounded) { std::memcpy(element, &rounded, sizeof rounded); };
  switch (dtype) {
    case DType::float32:
      return write(static_cast<float>(value));
    case DType::float64:
      return write(value);
    case DType::float16:
      return write(to_float16(value));
    case DType::bfloat16:
      return write(to_bfloat16(value));
  }
}

}  // namespace gradstab
