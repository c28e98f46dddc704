#include "core/step/tensor_views.hpp"

#include <algorithm>
#include <limits>

#include "core/base/text.hpp"

namespace gradstab {
namespace {

/// element_count of sizes that nobody has checked: the largest number where the product does not fit.
std::int64_t saturating_count(std::span<const std::int64_t> sizes) noexcept {
  if (std::ranges::find(sizes, 0) != sizes.end()) return 0;
  std::int64_t count = 1;
  for (const std::int64_t size : sizes) {
    if (__builtin_mul_overflow(count, size, &count)) return std::numeric_limits<std::int64_t>::max();
  }
  return count;
}

std::string text_of(std::span<const std::int64_t> sizes) {
  return shape_text({sizes.begin(), sizes.end()});
}

}  // namespace

void TensorViews::bind(std::size_t count, std::string_view what, std::string_view backend) {
  what_ = what;
  backend_ = backend;
  views_.assign(count, {});
  layouts_.assign(count, {});
}

TensorViews::Division TensorViews::division_of(const Parameter& parameter, std::size_t index,
                                               const Segments& segments) {
  Division division;
  division.pieces = segments.of_tensor(index).size();
  division.rows =
      segments.rows() && parameter.sizes.size() >= 2 && division.pieces == row_count(parameter.sizes);
  division.parts = segments.rows() && !division.rows && division.pieces > 1;
  return division;
}

template <class... What>
Status TensorViews::refuse(StatusCode code, const Parameter& parameter, const What&... what) const {
  return {code, detail::concat(what_, " '", parameter.name, "' ", what...)};
}

Status TensorViews::check_sparse(const Parameter& parameter, const TensorRef& tensor,
                                 const Division& division) const {
  if (division.rows || division.parts) {
    return refuse(StatusCode::unsupported, parameter,
                  "is sparse, but a method works per row and cannot tell its rows");
  }
  if (std::ranges::any_of(tensor.sizes, [](std::int64_t size) { return size < 0; })) {
    return refuse(StatusCode::shape_mismatch, parameter, "has a negative size in ", text_of(tensor.sizes));
  }
  const std::int64_t values = saturating_count(tensor.sizes);
  const std::int64_t elements = element_count(parameter.sizes);
  if (values <= elements) return {};
  return refuse(StatusCode::shape_mismatch, parameter, "has ", values, " sparse values, more than the ",
                elements, " elements of ", shape_text(parameter.sizes), "; coalesce it first");
}

Status TensorViews::check(const Parameter& parameter, const TensorRef& tensor,
                          const Division& division) const {
  if (tensor.sparse_values) {
    GRADSTAB_RETURN_IF_ERROR(check_sparse(parameter, tensor, division));
  } else if (!std::ranges::equal(tensor.sizes, parameter.sizes)) {
    return refuse(StatusCode::shape_mismatch, parameter, "has shape ", text_of(tensor.sizes), ", expected ",
                  shape_text(parameter.sizes));
  }
  if (tensor.device != DeviceType::cpu) {
    return refuse(StatusCode::unsupported, parameter, "is on a CUDA device; backend '", backend_,
                  "' reads host memory");
  }
  if (static_cast<std::size_t>(tensor.dtype) >= kDTypeCount) {
    return refuse(StatusCode::unsupported, parameter, "has unknown dtype ", static_cast<int>(tensor.dtype));
  }
  return {};
}

/// Of a tensor, or of one of its rows, whose elements may lie anywhere.
Status TensorViews::take_layout(const Parameter& parameter, const TensorRef& part, std::size_t index) {
  views_[index].layout = nullptr;
  if (is_row_major(part)) return {};
  auto made = make_layout(part, parameter.name, what_);
  if (!made) return made.status();
  if (made->dense()) return {};
  layouts_[index] = *made;
  views_[index].layout = &layouts_[index];
  return {};
}

Result<bool> TensorViews::take(const Parameter& parameter, const TensorRef& tensor, std::size_t index,
                               const Segments& segments) {
  GradientView& view = views_[index];
  view.data = nullptr;  // until nothing can be refused any more
  const Division division = division_of(parameter, index, segments);
  GRADSTAB_RETURN_IF_ERROR(check(parameter, tensor, division));
  view.count = element_count(tensor.sizes);
  GRADSTAB_RETURN_IF_ERROR(take_layout(parameter, tensor, index));
  const bool dense = view.layout == nullptr;
  if (division.rows) {
    // The whole was checked above: rows that overlap each other would have been refused.
    const std::int64_t rows = parameter.sizes[0];
    view.count = rows == 0 ? 0 : view.count / rows;
    view.row_stride = tensor.strides.empty() ? view.count : tensor.strides[0];
    TensorRef row = tensor;
    row.sizes = tensor.sizes.subspan(1);
    row.strides = tensor.strides.empty() ? tensor.strides : tensor.strides.subspan(1);
    GRADSTAB_RETURN_IF_ERROR(take_layout(parameter, row, index));
  }
  if (division.parts) {
    if (!is_row_major(tensor)) {
      return refuse(StatusCode::unsupported, parameter, "is not contiguous, but is divided into ",
                    division.pieces, " pieces; pass a contiguous copy");
    }
    view.count /= static_cast<std::int64_t>(division.pieces);
    view.row_stride = view.count;
  }
  view.data = static_cast<std::byte*>(tensor.data);
  view.dtype = tensor.dtype;
  return dense;
}

}  // namespace gradstab
