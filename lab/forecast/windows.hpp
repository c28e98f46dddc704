// Windows of a series: what was seen and what is to be forecast.
#pragma once

#include <cstdint>
#include <span>

#include "lab/forecast/parts.hpp"
#include "lab/forecast/standardization.hpp"

namespace gradstab::lab::forecast {

/// All windows of one part, one for each row on which a forecast can begin. The series must outlive them.
class Windows {
 public:
  /// Of a part that `split_rows` found long enough.
  Windows(const StandardSeries& series, PartRows part, std::int64_t look_back, std::int64_t horizon);

  std::int64_t count() const noexcept { return count_; }
  std::int64_t look_back() const noexcept { return look_back_; }
  std::int64_t horizon() const noexcept { return horizon_; }
  std::int64_t channels() const noexcept { return series_->channels; }

  /// The row of the series on which the forecast of window `index` begins.
  std::int64_t first_target_row(std::int64_t index) const noexcept { return first_ + index + look_back_; }

  /// What is seen of a channel in window `index`: look_back values.
  const float* input(std::int64_t index, std::int64_t channel) const {
    return series_->channel(channel) + first_ + index;
  }
  /// What follows: horizon values.
  const float* target(std::int64_t index, std::int64_t channel) const {
    return input(index, channel) + look_back_;
  }

  /// Copies the windows of `indices` to inputs [indices, channels, look_back] and targets [indices, channels,
  /// horizon].
  void copy(std::span<const std::int64_t> indices, float* inputs, float* targets) const;

 private:
  const StandardSeries* series_;
  std::int64_t look_back_, horizon_;
  std::int64_t first_ = 0;  // row that window 0 begins with
  std::int64_t count_ = 0;
};

/// The training batches of windows, as a function of (seed, index of the micro-batch): every epoch visits
/// every window once in an order of its own. Any batch can be made at any time, without state to save.
class WindowOrder {
 public:
  /// `drop_last` leaves the smaller last batch of an epoch out, as the published code does; without it, it is
  /// trained on as any other. All counts are at least 1.
  WindowOrder(std::int64_t windows, std::int64_t batch, std::uint64_t seed, bool drop_last = false);

  std::int64_t batches_per_epoch() const noexcept { return batches_per_epoch_; }
  /// Windows in a micro-batch.
  std::int64_t size(std::uint64_t index) const noexcept;
  /// Their numbers; `out` has size(index) elements.
  void batch(std::uint64_t index, std::span<std::int64_t> out) const noexcept;

 private:
  std::int64_t windows_, batch_;
  std::uint64_t seed_;
  std::int64_t batches_per_epoch_;
};

/// How many of `windows` windows a score is taken over, from the first on: all of them or, with the published
/// `drop_last`, only those of whole batches.
std::int64_t in_whole_batches(std::int64_t windows, std::int64_t batch, bool drop_last) noexcept;

}  // namespace gradstab::lab::forecast
