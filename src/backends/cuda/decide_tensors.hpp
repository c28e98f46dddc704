// decide: from squared norms to factors and to the numbers of the update, one thread per tensor.
#pragma once

#include "backends/cuda/elements.hpp"
#include "backends/cuda/tables.hpp"

namespace gradstab::device {

/// Policies under which a single NaN leaves everything as it was.
GRADSTAB_DEVICE_INLINE bool may_change_nothing(const Tables& tables) {
  return tables.measures &&
         (tables.nonfinite == NonFinitePolicy::skip_step || tables.nonfinite == NonFinitePolicy::raise);
}

/// What the norm says of a tensor before anything is decided.
GRADSTAB_HOST_DEVICE inline TensorReport measured(const Tables& tables, const Launch& launch,
                                                  std::uint32_t tensor) {
  TensorReport report;
  report.present = tables.in_parts ? tables.tensor_squared[tensor] != kNoGradient
                                   : launch.address_of(tables, tensor).gradient != nullptr;
  if (!report.present || !tables.measures) return report;
  report.raw_norm = std::sqrt(tables.tensor_squared[tensor]);
  report.finite = is_finite(report.raw_norm);
  return report;
}

/// What the step of a tensor with these settings takes beside its factor.
template <class Settings>
GRADSTAB_HOST_DEVICE TensorNumbers numbers_of(const Settings& settings, StepPosition position) {
  TensorNumbers numbers;
  numbers.scalars = scalars_of(settings, position);
  numbers.step = position.step;
  numbers.resets = static_cast<std::uint32_t>(states_to_reset(settings, position));
  return numbers;
}

GRADSTAB_HOST_DEVICE inline void advance_optimizer(const Tables& tables, std::uint32_t tensor,
                                                   double factor) {
  const TensorPlan& plan = tables.plans[tensor];
  const GroupSettings& settings = tables.groups[plan.group];
  const StepPosition position{tables.steps[tensor] + 1, tables.counters->updates + 1, plan.decays};
  TensorNumbers numbers = settings.visit([&](const auto& typed) { return numbers_of(typed, position); });
  numbers.scalars.gradient_factor = factor;
  if (plan.unit_moments)
    numbers.unit_correction = decay_correction(settings.get<AdamMiniNumbers>().beta2, position.step);
  tables.numbers[tensor] = numbers;
  tables.steps[tensor] = position.step;
}

/// The decision on one tensor, as StepEngine and `stabilize` take it on the CPU.
GRADSTAB_HOST_DEVICE inline void decide_tensor(const Tables& tables, const Launch& launch,
                                               std::uint32_t tensor) {
  TensorReport report = measured(tables, launch, tensor);
  if (report.present) {
    report.zeroed = !report.finite && tables.nonfinite == NonFinitePolicy::skip_tensor;
    if (tables.given != nullptr) {
      report.factor = tables.given[tensor].factor;
      report.zeroed = tables.given[tensor].zeroed != 0;
    } else if (tables.stabilizes) {
      NormMoments& moments = tables.moments[tensor];
      if (!report.finite) {
        moments.nonfinite += 1;
      } else if (report.raw_norm == 0.0) {
        moments.zeros += 1;
      } else {
        const BiasCorrection correction = bias_correction_at(tables.options, moments.step + 1);
        const Decision decision = decide(tables.options, correction, moments, report.raw_norm);
        report.spike = decision.spike;
        report.factor = decision.factor;
      }
    }
    // Of parts, a tensor may be present in other processes alone.
    if (tables.optimizes && launch.address_of(tables, tensor).gradient != nullptr)
      advance_optimizer(tables, tensor, report.factor);
  }
  tables.reports[tensor] = report;
}

/// The tensors of one block. Each block looks for NaN by itself, so that none waits for another.
template <class Block>
GRADSTAB_HOST_DEVICE void decide_tensors(Block& block, const Tables& tables, const Launch& launch) {
  const std::uint32_t begin = launch.of_one ? launch.tensor : 0;
  const std::uint32_t end = launch.of_one ? launch.tensor + 1 : tables.tensor_count;
  bool skip = false;
  if (may_change_nothing(tables)) {
    // The sum of flags is exact, whatever its order.
    skip = block.sum([&](unsigned thread) {
      double nonfinite = 0.0;
      for (std::uint32_t t = begin + thread; t < end; t += kThreads)
        nonfinite += measured(tables, launch, t).finite ? 0.0 : 1.0;
      return nonfinite;
    }) > 0.0;
  }
  block.each([&](unsigned thread) {
    const std::uint32_t first = begin + block.index() * kThreads + thread;
    for (std::uint32_t t = first; t < end; t += launch.blocks * kThreads) {
      if (skip) {
        tables.reports[t] = measured(tables, launch, t);
      } else {
        decide_tensor(tables, launch, t);
      }
    }
  });
  if (block.index() == 0) block.lead([&] { tables.counters->skip = skip ? 1 : 0; });
}

/// Counts the step. Once per step, in the pass after the decision, by which time nobody reads the counter.
GRADSTAB_HOST_DEVICE inline void count_step(const Tables& tables) {
  if (tables.counters->skip == 0) tables.counters->updates += 1;
}

}  // namespace gradstab::device
