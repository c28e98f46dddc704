// Quantiles of any number of positive numbers in little memory.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <map>

namespace gradstab::lab::inspect {

/// Counts numbers by their size, 128 classes to the octave: a quantile is right to 0.3 %.
class LogHistogram {
 public:
  /// Finite and above 0.
  void add(double value) {
    ++classes_[static_cast<int>(std::floor(kPerOctave * std::log2(value)))];
    ++count_;
  }
  std::int64_t count() const noexcept { return count_; }
  /// The number below which this part of all lies; NaN where there are none.
  double quantile(double part) const {
    std::int64_t below = static_cast<std::int64_t>(part * static_cast<double>(count_));
    for (const auto& [number, count] : classes_) {
      below -= count;
      if (below < 0) return std::exp2((number + 0.5) / kPerOctave);
    }
    return classes_.empty() ? std::nan("") : std::exp2((classes_.rbegin()->first + 0.5) / kPerOctave);
  }

 private:
  static constexpr double kPerOctave = 128.0;
  std::map<int, std::int64_t> classes_;
  std::int64_t count_ = 0;
};

}  // namespace gradstab::lab::inspect
