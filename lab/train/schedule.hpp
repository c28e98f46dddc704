// The learning rate over the updates of a run.
#pragma once

#include <cstdint>

namespace gradstab::lab {

/// Linear warm-up, then a cosine from the peak down to `min_ratio` of it (the recipe of LLaMA pre-training in
/// the GaLore code base). Every length is in optimizer updates.
struct CosineSchedule {
  double peak = 1e-3;
  std::int64_t warmup = 0;
  std::int64_t steps = 1;
  double min_ratio = 0.1;

  /// Learning rate of update `k`, counted from 0. During warm-up peak * k / warmup, so the very first update
  /// has rate 0 unless there is no warm-up; from `steps` on it stays at the minimum.
  double at(std::int64_t k) const noexcept;
};

}  // namespace gradstab::lab
