#include "support/strided_tensor.hpp"

#include <algorithm>

#include "support/elements.hpp"

namespace gradstab::testing {
namespace {

constexpr std::byte kGap{0xA5};

std::vector<std::int64_t> row_major(std::span<const std::int64_t> sizes) {
  std::vector<std::int64_t> strides(sizes.size(), 1);
  for (std::size_t d = sizes.size(); d-- > 1;) strides[d - 1] = strides[d] * sizes[d];
  return strides;
}

}  // namespace

StridedTensor::StridedTensor(DType dtype, std::vector<std::int64_t> sizes, std::vector<std::int64_t> strides)
    : dtype_(dtype), sizes_(std::move(sizes)), strides_(std::move(strides)) {
  const std::vector<std::int64_t> steps = strides_.empty() ? row_major(sizes_) : strides_;
  std::size_t last = 0;
  for (std::int64_t i = 0; i < element_count(sizes_); ++i) {
    std::int64_t rest = i;
    std::int64_t offset = 0;
    for (std::size_t d = sizes_.size(); d-- > 0;) {
      offset += rest % sizes_[d] * steps[d];
      rest /= sizes_[d];
    }
    offsets_.push_back(static_cast<std::size_t>(offset) * size_of(dtype_));
    last = std::max(last, offsets_.back());
  }
  memory_.assign(last + size_of(dtype_), kGap);  // never empty: a null pointer would mean no gradient
}

void StridedTensor::set(std::span<const double> values) {
  for (std::size_t i = 0; i < values.size(); ++i)
    write_element(memory_.data() + offsets_[i], dtype_, values[i]);
}

Values StridedTensor::values() const {
  Values result;
  for (const std::size_t offset : offsets_) result.push_back(read_element(memory_.data() + offset, dtype_));
  return result;
}

bool StridedTensor::gaps_intact() const {
  std::vector<std::byte> gaps = memory_;
  for (const std::size_t offset : offsets_)
    std::fill_n(gaps.begin() + static_cast<std::ptrdiff_t>(offset), size_of(dtype_), kGap);
  return std::ranges::all_of(gaps, [](std::byte byte) { return byte == kGap; });
}

TensorRef StridedTensor::ref() {
  return {.data = memory_.data(), .dtype = dtype_, .sizes = sizes_, .strides = strides_};
}

std::size_t StridedTensor::rows() const {
  return sizes_.size() < 2 ? 1 : static_cast<std::size_t>(sizes_[0]);
}

TensorRef StridedTensor::row(std::size_t index) {
  TensorRef row = ref();
  if (sizes_.size() < 2) return row;
  const std::int64_t step = strides_.empty() ? row_major(sizes_)[0] : strides_[0];
  row.data =
      memory_.data() + static_cast<std::int64_t>(index) * step * static_cast<std::int64_t>(size_of(dtype_));
  row.sizes = row.sizes.subspan(1);
  if (!row.strides.empty()) row.strides = row.strides.subspan(1);
  return row;
}

}  // namespace gradstab::testing
