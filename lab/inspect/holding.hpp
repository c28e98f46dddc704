// How long a rule holds the steps down: the stabilized norm below half of its usual value.
#pragma once

#include <algorithm>
#include <cstdint>

namespace gradstab::lab::inspect {

/// Below this the steps are held down; a constant norm is stabilized to 1.
inline constexpr double kHeldBelow = 0.5;

/// Spans of one cause.
struct HeldSteps {
  std::int64_t steps = 0;  ///< all together
  std::int64_t spans = 0;
  std::int64_t longest = 0;        ///< steps of the longest span
  std::int64_t longest_begin = 0;  ///< the step at which it begins
};

/// What a rule held down, by cause.
struct Holding {
  HeldSteps after_spikes;
  HeldSteps falling;     ///< no spike before: the norms fell faster than the second moment forgets
  double lowest = 1.0;   ///< the smallest stabilized norm
  double highest = 0.0;  ///< the largest
  std::int64_t highest_step = 0;
};

/// Steps after a spike in which a span that begins counts as its doing: the first moment has to forget it
/// before the second one shows.
inline constexpr std::int64_t kSpikeReach = 100;

/// Follows one rule.
class HoldingWatch {
 public:
  /// `norm`: stabilized; one that is NaN says nothing. `last_spike`: the step of the last spike, or a
  /// negative number.
  void add(std::int64_t step, double norm, std::int64_t last_spike) {
    if (!(norm >= 0.0)) return;
    holding_.lowest = std::min(holding_.lowest, norm);
    if (norm > holding_.highest) holding_.highest = norm, holding_.highest_step = step;
    if (!(norm < kHeldBelow)) {
      span_ = nullptr;
      return;
    }
    if (span_ == nullptr) {
      const bool by_spike = last_spike >= 0 && step - last_spike <= kSpikeReach;
      span_ = by_spike ? &holding_.after_spikes : &holding_.falling;
      ++span_->spans;
      length_ = 0;
      begin_ = step;
    }
    ++span_->steps;
    if (++length_ > span_->longest) span_->longest = length_, span_->longest_begin = begin_;
  }
  const Holding& holding() const noexcept { return holding_; }

 private:
  Holding holding_;
  HeldSteps* span_ = nullptr;
  std::int64_t length_ = 0;
  std::int64_t begin_ = 0;
};

}  // namespace gradstab::lab::inspect
