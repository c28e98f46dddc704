// A batch of pictures as a model takes it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "lab/vision/picture_source.hpp"

namespace gradstab::lab::vision {

/// A picture that could not be read.
struct SkippedPicture {
  Part part = Part::training;
  std::int64_t picture = 0;  ///< its index in the part
  std::string what;          ///< "'PATH' is empty"
};

struct Batch {
  std::int64_t count = 0;  ///< pictures in it; fewer where some were skipped, and none where all were
  int channels = 0, height = 0, width = 0;
  std::vector<float> pixels;         ///< [count, channels, height, width]
  std::vector<std::int64_t> labels;  ///< [count]
  /// [count], the labels of what the pictures are mixed with; empty where nothing is mixed. The loss is
  /// weight * loss(labels) + (1 - weight) * loss(partner_labels).
  std::vector<std::int64_t> partner_labels;
  double weight = 1;
  std::vector<std::int64_t> pictures;   ///< [count], their indices in the part
  std::vector<SkippedPicture> skipped;  ///< those that should be here
};

}  // namespace gradstab::lab::vision
