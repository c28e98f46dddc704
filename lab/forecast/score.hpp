// How far forecasts are from the truth.
#pragma once

#include <fmt/format.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <string>

namespace gradstab::lab::forecast {

/// Mean squared and mean absolute error over all values of all windows, on the standardized scale. Sums are
/// kept, not means of batches: a smaller last batch weighs as much as it is long, and the size of the batches
/// changes nothing but the order of a sum in double.
class Score {
 public:
  void add(const float* forecast, const float* truth, std::int64_t count) {
    for (std::int64_t i = 0; i < count; ++i) {
      const double error = static_cast<double>(forecast[i]) - truth[i];
      squares_ += error * error;
      magnitudes_ += std::abs(error);
    }
    count_ += count;
  }

  /// NaN before anything was added.
  double mean_squared_error() const { return mean(squares_); }
  double mean_absolute_error() const { return mean(magnitudes_); }
  std::int64_t count() const { return count_; }

 private:
  double mean(double sum) const {
    return count_ > 0 ? sum / static_cast<double>(count_) : std::numeric_limits<double>::quiet_NaN();
  }

  double squares_ = 0, magnitudes_ = 0;
  std::int64_t count_ = 0;
};

/// "MSE 0.3798, MAE 0.4014"
inline std::string to_string(const Score& score) {
  return fmt::format("MSE {:.4f}, MAE {:.4f}", score.mean_squared_error(), score.mean_absolute_error());
}

}  // namespace gradstab::lab::forecast
