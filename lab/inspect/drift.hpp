// How fast the usual norm falls.
#pragma once

#include <cstdint>
#include <deque>
#include <utility>

namespace gradstab::lab::inspect {

/// Steps at which the running median was at most half of what it had been within a window of steps before.
struct Halving {
  std::int64_t records = 0;
  std::int64_t first_step = -1, last_step = -1;
};

/// Follows the running median.
class DriftWatch {
 public:
  /// `window`: the steps that a second moment remembers.
  explicit DriftWatch(double window) : window_(static_cast<std::int64_t>(window)) {}

  void add(std::int64_t step, double median) {
    // Falling medians with their steps: the first is the largest within the window.
    while (!falling_.empty() && falling_.back().second <= median) falling_.pop_back();
    falling_.emplace_back(step, median);
    while (falling_.front().first < step - window_ || falling_.front().first > step) falling_.pop_front();
    if (median > 0.5 * falling_.front().second) return;
    if (halving_.records++ == 0) halving_.first_step = step;
    halving_.last_step = step;
  }
  const Halving& halving() const noexcept { return halving_; }

 private:
  std::int64_t window_;
  std::deque<std::pair<std::int64_t, double>> falling_;
  Halving halving_;
};

}  // namespace gradstab::lab::inspect
