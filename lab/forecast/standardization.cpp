#include "lab/forecast/standardization.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

namespace gradstab::lab::forecast {
namespace {
/// Its square, summed over all values of a batch, is far from the limit of f32.
constexpr double kMostDeviations = 1e12;
}  // namespace

Standardization Standardization::of(const Series& series, PartRows training) {
  Standardization result;
  const auto count = static_cast<double>(training.end - training.begin);
  for (std::int64_t channel = 0; channel < series.channel_count(); ++channel) {
    double sum = 0;
    double least = std::numeric_limits<double>::infinity();
    double most = -least;
    for (std::int64_t row = training.begin; row < training.end; ++row) {
      const double value = series.value(row, channel);
      sum += value;
      least = std::min(least, value);
      most = std::max(most, value);
    }
    const double mean = sum / count;
    double squares = 0;
    for (std::int64_t row = training.begin; row < training.end; ++row) {
      const double difference = series.value(row, channel) - mean;
      squares += difference * difference;
    }
    // The rounded mean of a constant is not always the constant: its deviation can be tiny rather than 0.
    const bool constant = !(least < most);
    result.means.push_back(constant ? least : mean);
    result.deviations.push_back(constant ? 1 : std::sqrt(squares / count));
  }
  return result;
}

Result<StandardSeries> StandardSeries::of(const Series& series, const Standardization& standardization,
                                          PartRows training) {
  StandardSeries result;
  result.channels = series.channel_count();
  result.rows = series.rows();
  result.values.resize(static_cast<std::size_t>(result.channels * result.rows));
  double maximum = -std::numeric_limits<double>::infinity();
  for (std::int64_t channel = 0; channel < result.channels; ++channel) {
    const auto index = static_cast<std::size_t>(channel);
    for (std::int64_t row = 0; row < result.rows; ++row) {
      const double value =
          (series.value(row, channel) - standardization.means[index]) / standardization.deviations[index];
      if (std::abs(value) > kMostDeviations)
        return Status(
            StatusCode::corrupt_data,
            fmt::format("'{}': column '{}' is {} in row {} of the numbers, {:.3g} standard deviations "
                        "of the training part from its mean; expected {:g} at most",
                        series.name, series.channels[index], series.value(row, channel), row + 1, value,
                        kMostDeviations));
      result.values[static_cast<std::size_t>(channel * result.rows + row)] = static_cast<float>(value);
      if (row >= training.begin && row < training.end) maximum = std::max(maximum, value);
    }
  }
  result.training_maximum = maximum;
  return result;
}

}  // namespace gradstab::lab::forecast
