#include "lab/page/downsample.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace gradstab::lab {

std::vector<std::size_t> downsample(std::span<const double> values, std::size_t max_points) {
  const std::size_t count = values.size();
  max_points = std::max(max_points, kFewestPoints);
  std::vector<std::size_t> kept;
  if (count <= max_points) {
    kept.resize(count);
    std::iota(kept.begin(), kept.end(), std::size_t{0});
    return kept;
  }
  const std::size_t buckets = (max_points - 2) / 3;  // three points a bucket, and both ends
  kept.push_back(0);
  for (std::size_t bucket = 0; bucket < buckets; ++bucket) {
    const std::size_t begin = count * bucket / buckets;
    const std::size_t end = count * (bucket + 1) / buckets;
    std::size_t smallest = count, largest = count, gap = count;  // `count` means none
    for (std::size_t i = begin; i < end; ++i) {
      if (!std::isfinite(values[i])) {
        if (gap == count) gap = i;
        continue;
      }
      if (smallest == count || values[i] < values[smallest]) smallest = i;
      if (largest == count || values[i] > values[largest]) largest = i;
    }
    for (const std::size_t i : {smallest, largest, gap}) {
      if (i != count) kept.push_back(i);
    }
  }
  kept.push_back(count - 1);
  std::sort(kept.begin(), kept.end());
  kept.erase(std::unique(kept.begin(), kept.end()), kept.end());
  return kept;
}

std::size_t smoothing_window(std::size_t count) {
  if (count < 20) return 1;
  return std::clamp<std::size_t>(count / 100, 5, 201) | 1;
}

std::vector<double> smooth(std::span<const double> values, std::size_t window) {
  const std::size_t count = values.size();
  std::vector<double> result(values.begin(), values.end());
  for (std::size_t i = 0; i < count; ++i) {
    if (!std::isfinite(values[i])) continue;
    const std::size_t before = std::min(window / 2, i);
    // The start falls steeply, so the window stays centred there; the end is flat, so it stays wide there.
    const std::size_t after = std::min({window / 2, before, count - 1 - i});
    // Summed afresh for each value: a sliding sum would carry the rounding of one huge spike along for ever.
    double sum = 0;
    std::size_t finite = 0;
    for (std::size_t j = i - before; j <= i + after; ++j) {
      if (!std::isfinite(values[j])) continue;
      sum += values[j];
      ++finite;
    }
    result[i] = sum / static_cast<double>(finite);
  }
  return result;
}

}  // namespace gradstab::lab
