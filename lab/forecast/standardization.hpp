// Every channel on a scale of its own.
#pragma once

#include <cstdint>
#include <vector>

#include "gradstab/status.hpp"
#include "lab/forecast/parts.hpp"
#include "lab/forecast/series.hpp"

namespace gradstab::lab::forecast {

/// The mean and the population standard deviation of each channel over the rows of the training part, and of
/// no others. A channel that is constant there has deviation 1, so that it becomes 0 rather than NaN, and
/// keeps its unit.
struct Standardization {
  std::vector<double> means, deviations;

  static Standardization of(const Series& series, PartRows training);
};

/// A series on that scale, channel by channel, in f32: [channels, rows].
struct StandardSeries {
  std::int64_t channels = 0, rows = 0;
  std::vector<float> values;
  /// The largest value (not magnitude) in the training part: what corruption is measured by.
  double training_maximum = 0;

  const float* channel(std::int64_t index) const { return values.data() + index * rows; }

  /// Errors: corrupt_data for a value so many deviations from its channel's training mean that its square is
  /// no number in f32; it names channel and row.
  static Result<StandardSeries> of(const Series& series, const Standardization& standardization,
                                   PartRows training);
};

}  // namespace gradstab::lab::forecast
