#include "lab/rl/running_moments.hpp"

#include <algorithm>
#include <cmath>

namespace gradstab::lab::rl {

void RunningMoments::merge(std::span<const double> rows) {
  const std::size_t size = mean.size();
  const std::size_t added = rows.size() / size;
  if (added == 0) return;
  const auto n = static_cast<double>(added);
  const auto before = static_cast<double>(count);
  for (std::size_t i = 0; i < size; ++i) {
    double sum = 0.0;
    for (std::size_t row = 0; row < added; ++row) sum += rows[row * size + i];
    const double batch_mean = sum / n;
    double squares = 0.0;
    for (std::size_t row = 0; row < added; ++row) {
      const double distance = rows[row * size + i] - batch_mean;
      squares += distance * distance;
    }
    const double shift = batch_mean - mean[i];
    const double total = before + n;
    variance[i] = (variance[i] * before + squares + shift * shift * before * n / total) / total;
    mean[i] += shift * n / total;
  }
  count += static_cast<std::int64_t>(added);
}

void normalize(const RunningMoments& moments, std::span<const double> rows, std::span<float> normalized) {
  const std::size_t size = moments.mean.size();
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const std::size_t column = i % size;
    const double value =
        (rows[i] - moments.mean[column]) / std::sqrt(moments.variance[column] + kVarianceEpsilon);
    normalized[i] = static_cast<float>(std::clamp(value, -kMostNormalized, kMostNormalized));
  }
}

}  // namespace gradstab::lab::rl
