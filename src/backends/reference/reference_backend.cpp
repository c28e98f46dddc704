// The obvious backend: one element at a time, in double.
#include <cmath>

#include "backends/backend_list.hpp"
#include "backends/reference/reference_update.hpp"
#include "core/base/element_access.hpp"
#include "core/base/floating_point.hpp"

namespace gradstab {
namespace {

class ReferenceBackend final : public Backend {
 public:
  std::string_view name() const noexcept override { return "reference"; }
  bool supported() const noexcept override { return true; }

  double squared_norm(const void* data, DType dtype, std::size_t count) const noexcept override {
    const auto* bytes = static_cast<const std::byte*>(data);
    double sum = 0.0;
    for (std::size_t i = 0; i < count; ++i) {
      const double value = load_element(bytes + i * size_of(dtype), dtype);
      sum += value * value;
    }
    return sum;
  }

  double max_abs(const void* data, DType dtype, std::size_t count) const noexcept override {
    const auto* bytes = static_cast<const std::byte*>(data);
    double largest = 0.0;
    for (std::size_t i = 0; i < count; ++i) {
      const double value = std::fabs(load_element(bytes + i * size_of(dtype), dtype));
      if (detail::is_nan(value)) return value;
      largest = std::fmax(largest, value);
    }
    return largest;
  }

  void scale(void* data, DType dtype, std::size_t count, double factor) const noexcept override {
    auto* bytes = static_cast<std::byte*>(data);
    for (std::size_t i = 0; i < count; ++i) {
      std::byte* element = bytes + i * size_of(dtype);
      store_element(element, dtype, load_element(element, dtype) * factor);
    }
  }

  void clamp(void* data, DType dtype, std::size_t count, double factor,
             double limit) const noexcept override {
    auto* bytes = static_cast<std::byte*>(data);
    for (std::size_t i = 0; i < count; ++i) {
      std::byte* element = bytes + i * size_of(dtype);
      const double value = load_element(element, dtype) * factor;
      store_element(element, dtype, std::fabs(value) > limit ? std::copysign(limit, value) : value);
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
