// StepReport: what a step saw and did. Observation is data.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace gradstab {

/// One tensor in one step.
struct TensorReport {
  double raw_norm = 0.0;  ///< Euclidean norm of the gradient as it came in; NaN or infinite if an element is
  /// What the gradient was (or, where pending, will be) multiplied by. After an element-wise method: norm
  /// after over norm before.
  double factor = 1.0;
  bool present = false;  ///< there was a gradient
  bool finite = true;    ///< the gradient held neither NaN nor Inf
  bool spike = false;    ///< the raw norm was far above its recent statistics
  bool zeroed = false;   ///< the gradient was replaced by zeros (non-finite under `skip_tensor`)

  /// Norm after the factors decided so far. Needs no second read of memory: |factor| times the raw norm.
  double norm() const noexcept { return zeroed ? 0.0 : raw_norm * (factor < 0 ? -factor : factor); }
};

/// Stands in place of a squared norm where there is no gradient.
inline constexpr double kNoGradient = -1.0;

/// One step over all registered parameters, in their order. Views the transform's memory: valid until its
/// next update.
struct StepReport {
  std::span<const TensorReport> tensors;
  /// Where a method works per row: one entry per row of every tensor, and the index of each tensor's first
  /// row (and, last, the number of all). A tensor's own report then holds the norms of all its rows together,
  /// its factor being their quotient. Empty otherwise.
  std::span<const TensorReport> rows = {};
  std::span<const std::size_t> first_row = {};
  std::int64_t step = 0;         ///< updates made by this transform, this one included
  double raw_global_norm = 0.0;  ///< over all tensors whose gradient is present and finite
  double global_norm = 0.0;      ///< the same after the transform
  std::size_t spikes = 0;        ///< tensors flagged in this step
  std::size_t nonfinite = 0;     ///< tensors with NaN or Inf in this step
  bool skip_step = false;        ///< policy `skip_step` asks the caller not to run the optimizer
};

}  // namespace gradstab
