// Pixels as a model takes them.
#pragma once

#include <array>
#include <vector>

#include "lab/vision/picture.hpp"

namespace gradstab::lab::vision {

/// ((v / 255) - mean) / deviation for each of the 256 values of each channel, in f32, as torch computes it.
class Normalizer {
 public:
  /// As many channels as means and deviations.
  Normalizer(std::vector<float> mean, std::vector<float> deviation);

  const std::vector<float>& mean() const noexcept { return mean_; }
  const std::vector<float>& deviation() const noexcept { return deviation_; }

  /// `out` gets [channels, height, width].
  void apply(const Picture& picture, float* out) const noexcept;

 private:
  std::vector<float> mean_, deviation_;
  std::vector<std::array<float, 256>> tables_;  // by channel
};

}  // namespace gradstab::lab::vision
