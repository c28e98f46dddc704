#include "core/layout.hpp"

#include <algorithm>
#include <vector>

#include "core/text.hpp"

namespace gradstab {
namespace {

Status layout_error(StatusCode code, std::string_view what_it_is, const std::string& name,
                    std::string_view error) {
  return {code, detail::concat(what_it_is, " '", name, "' ", error)};
}

}  // namespace

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
  const auto before = [](const Layout::Dimension& a, const Layout::Dimension& b) {
    return a.stride > b.stride;
  };
  for (std::size_t d = 0; d < tensor.sizes.size(); ++d) {
    const Layout::Dimension dimension{tensor.sizes[d], tensor.strides[d]};
    if (dimension.size == 1) continue;
    if (dimension.stride < 0)
      return layout_error(StatusCode::unsupported, what_it_is, name, "has a negative stride");
    if (layout.rank == Layout::kMaxRank) {
      return layout_error(StatusCode::unsupported, what_it_is, name, "has more than 16 dimensions");
    }
    layout.dimensions[static_cast<std::size_t>(layout.rank++)] = dimension;
  }
  const auto begin = layout.dimensions.begin();
  std::sort(begin, begin + layout.rank, before);

  // From the innermost outwards, a stride must step over everything inside it, or two indices share an
  // element.
  std::int64_t extent = 1;
  for (int d = layout.rank - 1; d >= 0; --d) {
    const Layout::Dimension dimension = layout.dimensions[static_cast<std::size_t>(d)];
    if (dimension.stride < extent) {
      return layout_error(StatusCode::unsupported, what_it_is, name,
                          detail::concat("overlaps itself in memory (size ", dimension.size, " with stride ",
                                         dimension.stride, "); pass a contiguous copy"));
    }
    extent += (dimension.size - 1) * dimension.stride;
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
