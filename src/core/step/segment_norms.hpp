// Norms of segments, from what was measured of their blocks.
#pragma once

#include <cstddef>
#include <vector>

#include "core/step/gradient_memory.hpp"
#include "core/step/norm_transform.hpp"
#include "core/step/power_norm.hpp"
#include "core/step/segments.hpp"
#include "gradstab/backend.hpp"

namespace gradstab {

/// Euclidean norms. Partial sums of blocks are added in order, whichever thread made them.
class EuclideanNorms {
 public:
  void bind(std::size_t blocks) { sums_.assign(blocks, 0.0); }

  void measure_block(const Backend& backend, std::size_t block, const GradientView& view,
                     Piece piece) noexcept {
    sums_[block] = squared_norm(backend, view, piece);
  }

  /// Of the segment that these blocks make up. The square is the plain sum, which float64 values may carry
  /// out of its range; the norm is not.
  double square(IndexRange blocks) const noexcept;
  double norm(const Backend& backend, IndexRange blocks, const GradientView& segment) const noexcept;

 private:
  std::vector<double> sums_;
};

/// All norms of gradients that the links of a chain ask for.
class GradientNorms {
 public:
  /// `powers` are the p of all p-norms asked for, in any order and with repetitions.
  void bind(bool max_abs, std::vector<double> powers, std::size_t segments, std::size_t blocks);

  void measure_block(const Backend& backend, std::size_t block, const GradientView& view,
                     Piece piece) noexcept;

  /// Once the blocks of a segment are measured. Returns its Euclidean norm.
  double finish_segment(const Backend& backend, std::size_t segment, IndexRange blocks,
                        const GradientView& view) noexcept;

  /// The square of the Euclidean norm: see EuclideanNorms.
  double square(IndexRange blocks) const noexcept { return euclidean_.square(blocks); }

  /// One entry per segment; empty unless bound.
  std::span<const double> max_abs() const noexcept { return max_abs_; }
  std::span<const double> power_norms(double p) const noexcept { return powers_.norms(p); }

 private:
  double largest_of(IndexRange blocks) const noexcept;

  EuclideanNorms euclidean_;
  std::vector<double> max_abs_;        // by segment
  std::vector<double> block_max_abs_;  // by block
  PowerNorms powers_;
};

}  // namespace gradstab
