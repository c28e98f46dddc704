// The memory operations on a piece of one gradient, for any layout.
#pragma once

#include <cstdint>

#include "core/base/layout.hpp"
#include "gradstab/backend.hpp"
#include "gradstab/tensor.hpp"

namespace gradstab {

/// A gradient in this step, or one row of it, ready for kernels. Small: a step over thousands of tensors
/// reads one of these for each, several times.
struct GradientView {
  std::byte* data = nullptr;
  std::int64_t count = 0;          ///< elements
  std::int64_t row_stride = 0;     ///< elements from one row to the next, where this is one of several
  const Layout* layout = nullptr;  ///< of the elements; none where they lie side by side
  DType dtype = DType::float32;

  GradientView row(std::size_t index) const noexcept {
    GradientView view = *this;
    view.data += static_cast<std::int64_t>(index) * row_stride * static_cast<std::int64_t>(size_of(dtype));
    return view;
  }
};

/// Elements [begin, begin + count) in the layout's order.
struct Piece {
  std::int64_t begin;
  std::int64_t count;
};

/// Calls body(pointer) for the elements of a piece in the layout's order.
template <class Body>
void for_each_element(const GradientView& gradient, Piece piece, Body body) noexcept {
  const auto bytes = static_cast<std::int64_t>(size_of(gradient.dtype));
  const auto run = [&](std::int64_t offset, std::int64_t count, std::int64_t stride) {
    std::byte* element = gradient.data + offset * bytes;
    for (std::int64_t i = 0; i < count; ++i) body(element + i * stride * bytes);
  };
  if (gradient.layout == nullptr) return run(piece.begin, piece.count, 1);
  for_each_run(*gradient.layout, piece.begin, piece.count, run);
}

double squared_norm(const Backend& backend, const GradientView& gradient, Piece piece) noexcept;
double max_abs(const Backend& backend, const GradientView& gradient, Piece piece) noexcept;
void scale(const Backend& backend, const GradientView& gradient, Piece piece, double factor) noexcept;
void clamp(const Backend& backend, const GradientView& gradient, Piece piece, double factor,
           double limit) noexcept;
void fill_zero(const GradientView& gradient, Piece piece) noexcept;

/// Euclidean norm of a whole float64 gradient whose squares over- or underflow: every element is multiplied
/// by a power of two first, and summed in the order of the blocks and of squared_norm, so that a gradient and
/// its multiple by a power of two have norms of the same digits. NaN or infinity only if an element is, or if
/// the norm itself is beyond the largest double.
double wide_range_norm(const Backend& backend, const GradientView& gradient) noexcept;

}  // namespace gradstab
