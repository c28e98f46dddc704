// The obvious backend: one element at a time, in double.
#include <cmath>
#include <cstring>

#include "backends/backend_list.hpp"
#include "backends/reference/reference_update.hpp"

namespace gradstab {
namespace {

double load(const std::byte* element, DType dtype) noexcept {
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

void store(std::byte* element, DType dtype, double value) noexcept {
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

class ReferenceBackend final : public Backend {
 public:
  std::string_view name() const noexcept override { return "reference"; }
  bool supported() const noexcept override { return true; }

  double squared_norm(const void* data, DType dtype, std::size_t count) const noexcept override {
    const auto* bytes = static_cast<const std::byte*>(data);
    double sum = 0.0;
    for (std::size_t i = 0; i < count; ++i) {
      const double value = load(bytes + i * size_of(dtype), dtype);
      sum += value * value;
    }
    return sum;
  }

  double max_abs(const void* data, DType dtype, std::size_t count) const noexcept override {
    const auto* bytes = static_cast<const std::byte*>(data);
    double largest = 0.0;
    for (std::size_t i = 0; i < count; ++i) {
      const double value = std::fabs(load(bytes + i * size_of(dtype), dtype));
      if (std::isnan(value)) return value;
      largest = std::fmax(largest, value);
    }
    return largest;
  }

  void scale(void* data, DType dtype, std::size_t count, double factor) const noexcept override {
    auto* bytes = static_cast<std::byte*>(data);
    for (std::size_t i = 0; i < count; ++i) {
      std::byte* element = bytes + i * size_of(dtype);
      store(element, dtype, load(element, dtype) * factor);
    }
  }

  void update(const UpdateBlock& block, const UpdateScalars& scalars) const noexcept override {
    reference_update(block, scalars);
  }
};

}  // namespace

const Backend& reference_backend() noexcept {
  static const ReferenceBackend backend;
  return backend;
}

}  // namespace gradstab
