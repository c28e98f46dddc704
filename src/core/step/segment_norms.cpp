#include "core/step/segment_norms.hpp"

#include <cmath>

#include "core/base/floating_point.hpp"

namespace gradstab {

double EuclideanNorms::square(IndexRange blocks) const noexcept {
  double sum = 0.0;
  for (std::size_t b = blocks.begin; b < blocks.end; ++b) sum += sums_[b];
  return sum;
}

double EuclideanNorms::norm(const Backend& backend, IndexRange blocks,
                            const GradientView& segment) const noexcept {
  // Squares of float64 values leave the range of a double long before the values do.
  constexpr double kLargestSafe = 0x1p+1000;
  constexpr double kSmallestSafe = 0x1p-900;
  const double sum = square(blocks);
  const bool safe = sum > kSmallestSafe && sum < kLargestSafe;
  return safe || segment.dtype != DType::float64 ? std::sqrt(sum) : wide_range_norm(backend, segment);
}

void GradientNorms::bind(bool max_abs, std::vector<double> powers, std::size_t segments, std::size_t blocks) {
  max_abs = max_abs || !powers.empty();
  euclidean_.bind(blocks);
  max_abs_.assign(max_abs ? segments : 0, 0.0);
  block_max_abs_.assign(max_abs ? blocks : 0, 0.0);
  powers_.bind(std::move(powers), segments, blocks);
}

void GradientNorms::measure_block(const Backend& backend, std::size_t block, const GradientView& view,
                                  Piece piece) noexcept {
  euclidean_.measure_block(backend, block, view, piece);
  if (block_max_abs_.empty()) return;
  block_max_abs_[block] = gradstab::max_abs(backend, view, piece);
  powers_.measure_block(block, view, piece, block_max_abs_[block]);
}

double GradientNorms::largest_of(IndexRange blocks) const noexcept {
  double largest = 0.0;
  for (std::size_t b = blocks.begin; b < blocks.end; ++b) {
    if (!(block_max_abs_[b] <= largest) && !detail::is_nan(largest)) largest = block_max_abs_[b];  // or NaN
  }
  return largest;
}

double GradientNorms::finish_segment(const Backend& backend, std::size_t segment, IndexRange blocks,
                                     const GradientView& view) noexcept {
  if (!max_abs_.empty()) max_abs_[segment] = largest_of(blocks);
  powers_.finish_segment(segment, blocks.begin, blocks.end, block_max_abs_);
  return euclidean_.norm(backend, blocks, view);
}

}  // namespace gradstab
