// Mean and variance of all that has been seen so far, as observations and returns are scaled by.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace gradstab::lab::rl {

/// Of rows of `size` numbers each. Batches are merged by the formula of Chan, Golub and LeVeque (1979), which
/// loses no digits to large means, and whose result does not depend on how rows were divided into batches but
/// for rounding.
struct RunningMoments {
  explicit RunningMoments(std::size_t size) : mean(size, 0.0), variance(size, 1.0) {}

  std::int64_t count = 0;        ///< rows so far
  std::vector<double> mean;      ///< 0 before the first row
  std::vector<double> variance;  ///< of the population (divided by the count); 1 before the first row

  /// Takes `rows`, [rows, size] and row-major, in.
  void merge(std::span<const double> rows);
};

/// What added to a variance keeps its root above 0: the epsilon of float, as in the published recipe.
inline constexpr double kVarianceEpsilon = 1.1920929e-07;
/// Normalized observations are clipped to plus and minus this.
inline constexpr double kMostNormalized = 10.0;

/// normalized = clip((x - mean) / sqrt(variance + epsilon), -10, 10) for each of [rows, size]. Both spans
/// have as many numbers.
void normalize(const RunningMoments& moments, std::span<const double> rows, std::span<float> normalized);

}  // namespace gradstab::lab::rl
