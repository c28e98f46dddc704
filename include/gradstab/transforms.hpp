// The methods: factories named by verbs in the field's words.
//
// A factory never fails; an invalid setting is reported by GradientTransform::init.
#pragma once

#include <utility>
#include <vector>

#include "gradstab/clipping.hpp"
#include "gradstab/export.hpp"
#include "gradstab/options.hpp"
#include "gradstab/transform.hpp"

namespace gradstab {

/// GradientStabilizer: keeps the gradient direction of each unit, by default of each tensor, and replaces its
/// norm by first moment / root of second moment of its own history. Needs one tensor at a time, unless units
/// are groups or the whole model. Source: arXiv 2502.17055v4, Algorithm 1.
GRADSTAB_API GradientTransform stabilize(StabilizerOptions options = {}, Units units = {});

/// Clips every element to [-max_abs, max_abs], element-wise. Changes the direction. NaN stays NaN.
GRADSTAB_API GradientTransform clip_by_value(ClipByValueOptions options);
GRADSTAB_API GradientTransform clip_by_value(double max_abs);

/// Scales all gradients by min(1, max_norm / (global norm + 1e-6)), as PyTorch's clip_grad_norm_. Needs all
/// tensors.
GRADSTAB_API GradientTransform clip_by_global_norm(GlobalNormOptions options);
GRADSTAB_API GradientTransform clip_by_global_norm(double max_norm);

/// AGC: limits the gradient norm of each unit to a fraction of the unit's parameter norm. Units are the rows
/// (indices of axis 0) of a tensor, and whole tensors of rank 0 and 1. Needs one tensor at a time, and the
/// parameters: see GradientTransform::update. Keeps the direction of each unit. No state.
GRADSTAB_API GradientTransform adaptive_clip(AdaptiveClipOptions options = {});

/// ZClip: clips all gradients by their global norm if that is far above its running statistics. Needs all
/// tensors. Flags the spikes that it clips.
GRADSTAB_API GradientTransform zclip(ZClipOptions options = {});

/// AdaGC: limits each tensor's norm to a multiple of its running average. Needs all tensors if its warm-up
/// does.
GRADSTAB_API GradientTransform adagc(AdaGcOptions options = {});

/// SPAM's element-wise clip as a transform with a second moment of its own (8 bytes per element); the
/// optimizer of SpamOptions uses Adam's second moment instead. Needs contiguous gradients.
GRADSTAB_API GradientTransform spike_aware_clip(SpikeAwareClipOptions options = {});

/// Stable-SPAM's two transforms, to be chained in this order in front of Adam with
/// AdamOptions::reset_interval. The first is element-wise; both need one tensor at a time.
GRADSTAB_API GradientTransform adaptive_value_clip(AdaptiveValueClipOptions options = {});
GRADSTAB_API GradientTransform adaptive_norm(AdaptiveNormOptions options = {}, Units units = {});

/// Gives each unit, by default each tensor, a gradient of norm 1. No state: the control that shows what the
/// statistics of `stabilize` add.
GRADSTAB_API GradientTransform normalize(Units units = {});
GRADSTAB_API GradientTransform normalize(NormalizeOptions options, Units units);

/// Multiplies every gradient by a finite number: the control that shows what a change of scale does by
/// itself.
GRADSTAB_API GradientTransform scale_by(ScaleByOptions options);
GRADSTAB_API GradientTransform scale_by(double factor);

/// Changes nothing and flags gradient spikes by the moments of the norms that reach it in a chain. Alone it
/// is a spike detector that costs one read of the gradients.
GRADSTAB_API GradientTransform record_norms(RecordNormsOptions options, Units units);
GRADSTAB_API GradientTransform record_norms(double spike_ratio = RecordNormsOptions{}.spike_ratio,
                                            Units units = {});

/// Ordered composition. However many norm-based links there are, the gradients are read once and written
/// once; each element-wise link adds one reading and writing, and later links see the norms of its result.
GRADSTAB_API GradientTransform chain_of(std::vector<GradientTransform> links);

template <class... Links>
GradientTransform chain(Links&&... links) {
  std::vector<GradientTransform> list;
  list.reserve(sizeof...(links));
  (list.push_back(std::forward<Links>(links)), ...);
  return chain_of(std::move(list));
}

}  // namespace gradstab
