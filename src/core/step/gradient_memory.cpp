#include "core/step/gradient_memory.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "core/base/block_elements.hpp"
#include "core/base/floating_point.hpp"

namespace gradstab {
namespace {

/// Runs with a stride go to the kernels one element at a time: rare, and obvious.
template <class Kernel>
void for_each_contiguous(const GradientView& gradient, Piece piece, Kernel kernel) noexcept {
  const auto element = static_cast<std::int64_t>(size_of(gradient.dtype));
  if (gradient.layout == nullptr)
    return kernel(gradient.data + piece.begin * element, static_cast<std::size_t>(piece.count));
  for_each_run(*gradient.layout, piece.begin, piece.count,
               [&](std::int64_t offset, std::int64_t count, std::int64_t stride) {
                 std::byte* run = gradient.data + offset * element;
                 if (stride == 1) return kernel(run, static_cast<std::size_t>(count));
                 for (std::int64_t i = 0; i < count; ++i) kernel(run + i * stride * element, std::size_t{1});
               });
}

/// Elements per kernel call on float64, 16 KiB: a piece is summed in the same order whether the kernel reads
/// the gradient itself or a scaled copy of it on the stack.
constexpr std::size_t kFloat64Chunk = 2048;

/// Sum of squares of the elements divided by 2^exponent, for float64.
double scaled_squared_norm(const Backend& backend, const GradientView& gradient, Piece piece,
                           int exponent) noexcept {
  double sum = 0.0;
  for_each_contiguous(gradient, piece, [&](const std::byte* data, std::size_t count) {
    double chunk[kFloat64Chunk];
    for (std::size_t begin = 0; begin < count; begin += kFloat64Chunk) {
      const std::size_t length = std::min(kFloat64Chunk, count - begin);
      std::memcpy(chunk, data + begin * sizeof(double), length * sizeof(double));
      for (std::size_t i = 0; i < length; ++i) chunk[i] = std::ldexp(chunk[i], -exponent);
      sum += backend.squared_norm(chunk, DType::float64, length);
    }
  });
  return sum;
}

/// NaN-keeping maximum of two non-negative numbers.
double larger(double a, double b) noexcept {
  return detail::is_nan(a) || a >= b ? a : b;
}

}  // namespace

double squared_norm(const Backend& backend, const GradientView& gradient, Piece piece) noexcept {
  double sum = 0.0;
  for_each_contiguous(gradient, piece, [&](const std::byte* data, std::size_t count) {
    const std::size_t chunk = gradient.dtype == DType::float64 ? kFloat64Chunk : count;
    for (std::size_t begin = 0; begin < count; begin += chunk) {
      sum += backend.squared_norm(data + begin * size_of(gradient.dtype), gradient.dtype,
                                  std::min(chunk, count - begin));
    }
  });
  return sum;
}

double max_abs(const Backend& backend, const GradientView& gradient, Piece piece) noexcept {
  double result = 0.0;
  for_each_contiguous(gradient, piece, [&](const std::byte* data, std::size_t count) {
    result = larger(result, backend.max_abs(data, gradient.dtype, count));
  });
  return result;
}

void scale(const Backend& backend, const GradientView& gradient, Piece piece, double factor) noexcept {
  for_each_contiguous(gradient, piece, [&](std::byte* data, std::size_t count) {
    backend.scale(data, gradient.dtype, count, factor);
  });
}

void clamp(const Backend& backend, const GradientView& gradient, Piece piece, double factor,
           double limit) noexcept {
  for_each_contiguous(gradient, piece, [&](std::byte* data, std::size_t count) {
    backend.clamp(data, gradient.dtype, count, factor, limit);
  });
}

void fill_zero(const GradientView& gradient, Piece piece) noexcept {
  for_each_contiguous(gradient, piece, [&](std::byte* data, std::size_t count) {
    std::memset(data, 0, count * size_of(gradient.dtype));
  });
}

double wide_range_norm(const Backend& backend, const GradientView& gradient) noexcept {
  const std::int64_t count = gradient.count;
  const double largest = max_abs(backend, gradient, {0, count});
  if (largest == 0.0 || !detail::is_finite(largest)) return largest;
  const int exponent = std::ilogb(largest);
  double sum = 0.0;
  for (std::int64_t begin = 0; begin < count; begin += kBlockElements) {
    sum += scaled_squared_norm(backend, gradient, {begin, std::min(kBlockElements, count - begin)}, exponent);
  }
  return std::ldexp(std::sqrt(sum), exponent);
}

}  // namespace gradstab
