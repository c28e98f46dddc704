#include "core/base/layout.hpp"

#include <algorithm>
#include <vector>

#include "core/base/text.hpp"
#include "gradstab/tensor.hpp"

namespace gradstab {
namespace {

Status layout_error(StatusCode code, std::string_view what_it_is, const std::string& name,
                    std::string_view error) {
  return {code, detail::concat(what_it_is, " '", name, "' ", error)};
}

/// The dimensions with more than one index; false if there are too many, or a stride is negative.
bool add_dimensions(const TensorRef& tensor, Layout& layout) noexcept {
  for (std::size_t d = 0; d < tensor.sizes.size(); ++d) {
    const Layout::Dimension dimension{tensor.sizes[d], tensor.strides[d]};
    if (dimension.size == 1) continue;
    if (dimension.stride < 0 || layout.rank == Layout::kMaxRank) return false;
    layout.dimensions[static_cast<std::size_t>(layout.rank++)] = dimension;
  }
  const auto begin = layout.dimensions.begin();
  std::sort(begin, begin + layout.rank,
            [](const Layout::Dimension& a, const Layout::Dimension& b) { return a.stride > b.stride; });
  return true;
}

/// Of sorted dimensions the innermost whose stride does not step over everything inside it, so that two
/// indices share an element; -1 if there is none.
int overlapping_dimension(const Layout& layout) noexcept {
  std::int64_t extent = 1;
  for (int d = layout.rank - 1; d >= 0; --d) {
    const Layout::Dimension dimension = layout.dimensions[static_cast<std::size_t>(d)];
    if (dimension.stride < extent) return d;
    extent += (dimension.size - 1) * dimension.stride;
  }
  return -1;
}

}  // namespace

bool overlaps_itself(const TensorRef& tensor) noexcept {
  Layout layout;
  if (element_count(tensor.sizes) == 0 || is_row_major(tensor)) return false;
  if (tensor.strides.size() != tensor.sizes.size() || !add_dimensions(tensor, layout)) return false;
  return overlapping_dimension(layout) >= 0;
}

bool is_row_major(const TensorRef& tensor) noexcept {
  if (tensor.strides.empty()) return true;
  if (tensor.strides.size() != tensor.sizes.size()) return false;
  std::int64_t expected = 1;
  for (std::size_t d = tensor.sizes.size(); d-- > 0;) {
    if (tensor.sizes[d] != 1 && tensor.strides[d] != expected) return false;
    expected *= tensor.sizes[d];
  }
  return true;
}

Result<Layout> make_layout(const TensorRef& tensor, const std::string& name, std::string_view what_it_is) {
  Layout layout;
  const std::int64_t count = element_count(tensor.sizes);
  if (!tensor.strides.empty() && tensor.strides.size() != tensor.sizes.size()) {
    return layout_error(
        StatusCode::shape_mismatch, what_it_is, name,
        detail::concat("has ", tensor.sizes.size(), " sizes but ", tensor.strides.size(), " strides"));
  }
  if (count == 0 || is_row_major(tensor)) {
    layout.set_dense(count);
    return layout;
  }
  if (!add_dimensions(tensor, layout)) {
    const bool negative = std::ranges::any_of(tensor.strides, [](std::int64_t stride) { return stride < 0; });
    return layout_error(StatusCode::unsupported, what_it_is, name,
                        negative ? "has a negative stride" : "has more than 16 dimensions");
  }
  if (const int d = overlapping_dimension(layout); d >= 0) {
    const Layout::Dimension dimension = layout.dimensions[static_cast<std::size_t>(d)];
    return layout_error(StatusCode::unsupported, what_it_is, name,
                        detail::concat("overlaps itself in memory (size ", dimension.size, " with stride ",
                                       dimension.stride, "); pass a contiguous copy"));
  }

  int kept = 0;
  for (int d = 1; d < layout.rank; ++d) {
    Layout::Dimension& outer = layout.dimensions[static_cast<std::size_t>(kept)];
    const Layout::Dimension inner = layout.dimensions[static_cast<std::size_t>(d)];
    if (outer.stride == inner.size * inner.stride) {
      outer = {outer.size * inner.size, inner.stride};
    } else {
      layout.dimensions[static_cast<std::size_t>(++kept)] = inner;
    }
  }
  layout.rank = std::min(layout.rank, kept + 1);
  return layout;
}

}  // namespace gradstab
