// Random numbers of one sample or one batch, drawn one after the other.
#pragma once

#include <cstdint>

#include "lab/nn/counter_random.hpp"

namespace gradstab::lab::vision {

/// A stream that begins anew with each sample. How many numbers one sample takes changes nothing for another.
class Draws {
 public:
  explicit Draws(nn::CounterKey key) : key_(key) {}

  /// In (0, 1).
  double uniform() noexcept { return nn::counter_uniform(next_++, key_); }
  /// Between two numbers.
  double uniform(double least, double most) noexcept { return least + (most - least) * uniform(); }
  /// One of 0 to count - 1, all alike. count >= 1.
  int below(int count) noexcept { return static_cast<int>(uniform() * count); }
  /// True so often.
  bool chance(double probability) noexcept { return uniform() < probability; }
  /// Standard normal.
  double normal() noexcept { return nn::counter_normal(kNormals + next_++, key_); }

 private:
  static constexpr std::uint64_t kNormals = std::uint64_t{1} << 32;  // counters that no uniform number has
  nn::CounterKey key_;
  std::uint64_t next_ = 0;
};

}  // namespace gradstab::lab::vision
