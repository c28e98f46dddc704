// Elements: values of any dtype at any address, with guards on both sides.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <random>
#include <vector>

#include "gradstab/backend.hpp"

namespace gradstab::testing {

inline constexpr DType kAllDTypes[] = {DType::float32, DType::float64, DType::float16, DType::bfloat16};

inline void write_element(std::byte* p, DType dtype, double value) {
  const auto write = [p]<class T>(T element) { std::memcpy(p, &element, sizeof element); };
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

inline double read_element(const std::byte* p, DType dtype) {
  const auto read = [p]<class T>(T element) {
    std::memcpy(&element, p, sizeof element);
    return element;
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

/// `count` elements that start `offset` elements after a 64-byte boundary.
class Elements {
 public:
  Elements(DType dtype, std::size_t count, std::size_t offset = 0)
      : dtype_(dtype), count_(count), storage_((count + offset) * size_of(dtype) + 3 * kGuard, kGuardByte) {
    const auto address = reinterpret_cast<std::uintptr_t>(storage_.data()) + kGuard;
    begin_ = kGuard + (64 - address % 64) % 64 + offset * size_of(dtype);
    std::memset(data(), 0, bytes());
  }
  Elements(const Elements&) = delete;  // a copy would lie at another alignment
  Elements& operator=(const Elements&) = delete;

  DType dtype() const { return dtype_; }
  std::size_t count() const { return count_; }
  std::size_t bytes() const { return count_ * size_of(dtype_); }
  std::byte* data() { return storage_.data() + begin_; }
  const std::byte* data() const { return storage_.data() + begin_; }

  double get(std::size_t i) const { return read_element(data() + i * size_of(dtype_), dtype_); }
  void set(std::size_t i, double value) { write_element(data() + i * size_of(dtype_), dtype_, value); }

  /// Normally distributed, the same for every offset.
  void fill(unsigned seed, double deviation = 1.0) {
    std::mt19937 generator(seed);
    std::normal_distribution<double> normal(0.0, deviation);
    for (std::size_t i = 0; i < count_; ++i) set(i, normal(generator));
  }

  /// The bytes before and after the elements are as they were.
  bool guards_intact() const {
    for (std::size_t i = 0; i < storage_.size(); ++i) {
      const bool inside = i >= begin_ && i < begin_ + bytes();
      if (!inside && storage_[i] != kGuardByte) return false;
    }
    return true;
  }

  /// Bit for bit, except that any NaN equals any other.
  friend bool same_elements(const Elements& a, const Elements& b) {
    if (a.dtype_ != b.dtype_ || a.count_ != b.count_) return false;
    if (std::memcmp(a.data(), b.data(), a.bytes()) == 0) return true;
    for (std::size_t i = 0; i < a.count_; ++i) {
      const std::size_t at = i * size_of(a.dtype_);
      if (std::memcmp(a.data() + at, b.data() + at, size_of(a.dtype_)) == 0) continue;
      if (a.get(i) == a.get(i) || b.get(i) == b.get(i)) return false;
    }
    return true;
  }

 private:
  static constexpr std::size_t kGuard = 64;
  static constexpr std::byte kGuardByte{0xA5};

  DType dtype_;
  std::size_t count_;
  std::vector<std::byte> storage_;
  std::size_t begin_;
};

inline std::vector<const Backend*> supported_backends() {
  std::vector<const Backend*> result;
  for (const Backend* backend : backends())
    if (backend->supported()) result.push_back(backend);
  return result;
}

}  // namespace gradstab::testing
