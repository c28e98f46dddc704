// The methods: factories named by verbs in the field's words.
//
// A factory never fails; an invalid setting is reported by GradientTransform::init.
#pragma once

#include <utility>
#include <vector>

#include "gradstab/export.hpp"
#include "gradstab/options.hpp"
#include "gradstab/transform.hpp"
#include "gradstab/units.hpp"

namespace gradstab {

/// GradientStabilizer: keeps the gradient direction of each unit, by default of each tensor, and replaces its
/// norm by first moment / root of second moment of its own history. Needs one tensor at a time, unless units
/// are groups or the whole model. Source: arXiv 2502.17055v4, Algorithm 1.
GRADSTAB_API GradientTransform stabilize(StabilizerOptions options = {}, Units units = {});

/// Settings of clipping by global norm.
struct GlobalNormOptions {
  double max_norm = 1.0;  ///< above 0
  bool max_abs =
      false;  ///< measure the largest absolute entry (the infinity norm) instead of the Euclidean norm
};

/// Scales all gradients by min(1, max_norm / (global norm + 1e-6)), as PyTorch's clip_grad_norm_. Needs all
/// tensors.
GRADSTAB_API GradientTransform clip_by_global_norm(GlobalNormOptions options);
GRADSTAB_API GradientTransform clip_by_global_norm(double max_norm);

/// Changes nothing and flags gradient spikes by the moments of the norms that reach it in a chain. Alone it
/// is a spike detector that costs one read of the gradients.
GRADSTAB_API GradientTransform record_norms(double spike_ratio = StabilizerOptions{}.spike_ratio,
                                            Units units = {});

/// Ordered composition. However many links there are, the gradients are read once and written once.
GRADSTAB_API GradientTransform chain_of(std::vector<GradientTransform> links);

template <class... Links>
GradientTransform chain(Links&&... links) {
  std::vector<GradientTransform> list;
  list.reserve(sizeof...(links));
  (list.push_back(std::forward<Links>(links)), ...);
  return chain_of(std::move(list));
}

}  // namespace gradstab
