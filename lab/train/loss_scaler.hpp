// Dynamic loss scaling (Micikevicius et al. 2018, arXiv:1710.03740), by the rule of
// torch.cuda.amp.GradScaler.
#pragma once

#include <cstdint>

#include "lab/support/json.hpp"

namespace gradstab::lab {

struct LossScalerOptions {
  float initial_scale = 65536.0F;
  float growth_factor = 2.0F;
  float backoff_factor = 0.5F;
  std::int64_t growth_interval = 2000;  ///< good steps in a row before the scale grows
};

/// What the loss is multiplied by before backward, so that float16 gradients neither underflow nor, for long,
/// overflow. The owner multiplies the loss by scale(), the gradients by inverse_scale(), skips the optimizer
/// if a gradient was not finite, and calls update() either way.
class LossScaler {
 public:
  LossScaler() = default;
  /// The options are positive and finite, the initial scale not subnormal.
  explicit LossScaler(const LossScalerOptions& options) : options_(options), scale_(options.initial_scale) {}

  float scale() const noexcept { return scale_; }

  /// 1/scale(), rounded once.
  float inverse_scale() const noexcept { return static_cast<float>(1.0 / static_cast<double>(scale_)); }

  /// After a step. `found_inf`: a gradient was not finite; the scale backs off and good steps are counted
  /// anew. Otherwise the scale grows after every growth_interval good steps in a row. It never becomes
  /// infinite and, beyond the published rule, never so small that its inverse could be.
  void update(bool found_inf) noexcept;

  /// Good steps in a row since the scale last changed or was due to grow.
  std::int64_t growth_count() const noexcept { return growth_count_; }

  /// Over the whole run.
  std::int64_t skipped_steps() const noexcept { return skipped_steps_; }

  /// What a checkpoint needs beside the options.
  Json state() const;
  /// What state() gave. Errors: a missing key, a wrong type, a number that no run with these options has;
  /// nothing is changed then.
  Status restore(const JsonReader& state);

 private:
  LossScalerOptions options_;
  float scale_ = options_.initial_scale;
  std::int64_t growth_count_ = 0;
  std::int64_t skipped_steps_ = 0;
};

}  // namespace gradstab::lab
