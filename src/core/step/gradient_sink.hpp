// GradientSink: takes gradients and their factors in place of memory that would be scaled.
#pragma once

#include <span>

#include "core/step/gradient_memory.hpp"
#include "core/step/step_plan.hpp"
#include "gradstab/transform.hpp"

namespace gradstab {

/// An optimizer's update as the engine sees it. Calls come batch by batch: once `prepare`, then `take` for
/// every block of the batch that has a gradient, from any thread and in any order.
class GradientSink {
 public:
  virtual ~GradientSink() = default;

  /// `reports` are those of all segments; the ones of these tensors are decided.
  virtual void prepare(IndexRange tensors, std::span<const TensorReport> reports) noexcept = 0;

  /// `gradient` is that of the block's segment. Where `report.zeroed`, it is to be read as zero.
  virtual void take(const Block& block, const GradientView& gradient,
                    const TensorReport& report) noexcept = 0;
};

}  // namespace gradstab
