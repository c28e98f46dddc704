// How a tensor's elements lie in memory, reduced to what a streaming kernel needs.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "gradstab/status.hpp"
#include "gradstab/tensor.hpp"

namespace gradstab {

/// Dimensions merged where they continue each other and sorted from the largest stride to the smallest, so
/// that walking them in order walks memory forwards. A dense tensor, however permuted, has one run.
struct Layout {
  static constexpr int kMaxRank = 16;

  struct Dimension {
    std::int64_t size;
    std::int64_t stride;  // in elements
  };
  int rank = 0;  // 0: a single element
  std::array<Dimension, kMaxRank> dimensions{};

  /// `count` elements side by side.
  void set_dense(std::int64_t count) noexcept {
    rank = 1;
    dimensions[0] = {count, 1};
  }

  /// All elements side by side.
  bool dense() const noexcept { return rank == 0 || (rank == 1 && dimensions[0].stride == 1); }
};

/// Whether the elements lie in row-major order without gaps, which needs no further look at the strides.
/// False also for strides that do not fit the sizes, on which make_layout has more to say.
bool is_row_major(const TensorRef& tensor) noexcept;

/// Errors: sizes and strides of different length, negative strides, memory that overlaps itself (for example
/// a stride of 0), more than kMaxRank dimensions that cannot be merged. The message begins with
/// `what_it_is` and `name`.
Result<Layout> make_layout(const TensorRef& tensor, const std::string& name,
                           std::string_view what_it_is = "gradient of");

/// Calls run(pointer offset in elements, count, stride) for the pieces of elements [begin, begin + count) in
/// the layout's own order.
template <class Run>
void for_each_run(const Layout& layout, std::int64_t begin, std::int64_t count, Run run) {
  if (layout.rank == 0) {
    if (count > 0) run(std::int64_t{0}, count, std::int64_t{1});
    return;
  }
  const Layout::Dimension inner = layout.dimensions[static_cast<std::size_t>(layout.rank - 1)];
  while (count > 0) {
    std::int64_t row = begin / inner.size;
    const std::int64_t column = begin % inner.size;
    std::int64_t offset = column * inner.stride;
    for (int d = layout.rank - 2; d >= 0; --d) {
      const Layout::Dimension dimension = layout.dimensions[static_cast<std::size_t>(d)];
      offset += row % dimension.size * dimension.stride;
      row /= dimension.size;
    }
    const std::int64_t length = count < inner.size - column ? count : inner.size - column;
    run(offset, length, inner.stride);
    begin += length;
    count -= length;
  }
}

}  // namespace gradstab
