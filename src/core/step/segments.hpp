// Segments: the pieces of the parameters that may get factors of their own.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "gradstab/tensor.hpp"

namespace gradstab {

/// A half-open range of indices.
struct IndexRange {
  std::size_t begin;
  std::size_t end;

  std::size_t size() const noexcept { return end - begin; }
};

/// Rows of a tensor: its indices of axis 0, or the whole of a tensor of rank 0 or 1.
constexpr std::size_t row_count(std::span<const std::int64_t> sizes) noexcept {
  return sizes.size() < 2 ? 1 : static_cast<std::size_t>(sizes[0]);
}

/// All tensors in order, each cut into equal pieces or left whole. Every link of a chain builds its units
/// from the same segments: rows as soon as one link works per row.
class Segments {
 public:
  Segments() = default;
  /// The rows of every tensor, or every tensor whole.
  Segments(const ParameterSet& parameters, bool rows);
  /// That many pieces of each tensor; they divide its number of elements.
  explicit Segments(std::span<const std::size_t> pieces);

  /// Whether any tensor may be in pieces.
  bool rows() const noexcept { return rows_; }
  std::size_t tensor_count() const noexcept { return first_.size() - 1; }
  std::size_t count() const noexcept { return first_.back(); }
  IndexRange of_tensor(std::size_t tensor) const noexcept { return {first_[tensor], first_[tensor + 1]}; }

  /// The first segment of each tensor, and the count of all behind them.
  std::span<const std::size_t> first() const noexcept { return first_; }

 private:
  bool rows_ = false;
  std::vector<std::size_t> first_ = {0};
};

}  // namespace gradstab
