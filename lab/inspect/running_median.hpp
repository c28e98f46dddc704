// The median of the last numbers.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <vector>

namespace gradstab::lab::inspect {

/// Of at most `window` numbers, the last that were added. A number costs a search and two moves of memory
/// within the window.
class RunningMedian {
 public:
  explicit RunningMedian(std::size_t window) : window_(window) {
    in_order_.reserve(window);
    sorted_.reserve(window + 1);
  }

  void add(double value) {
    sorted_.insert(std::ranges::upper_bound(sorted_, value), value);
    if (in_order_.size() < window_) {
      in_order_.push_back(value);
      return;
    }
    sorted_.erase(std::ranges::lower_bound(sorted_, in_order_[oldest_]));
    in_order_[oldest_] = value;
    oldest_ = (oldest_ + 1) % window_;
  }

  std::size_t count() const noexcept { return sorted_.size(); }
  /// The mean of the middle two where their count is even. Only where there are some.
  double median() const noexcept {
    const std::size_t middle = sorted_.size() / 2;
    return sorted_.size() % 2 == 1 ? sorted_[middle] : 0.5 * sorted_[middle - 1] + 0.5 * sorted_[middle];
  }

 private:
  std::size_t window_;
  std::vector<double> in_order_;
  std::size_t oldest_ = 0;
  std::vector<double> sorted_;
};

/// The median of a few numbers, in any order; NaN counts as larger than all others. Only where there are
/// some.
inline double median_of(std::vector<double> values) {
  for (double& value : values)
    if (!(value == value)) value = HUGE_VAL;
  std::ranges::sort(values);
  const std::size_t middle = values.size() / 2;
  return values.size() % 2 == 1 ? values[middle] : 0.5 * values[middle - 1] + 0.5 * values[middle];
}

}  // namespace gradstab::lab::inspect
