// The settings of the methods that the field clips and normalizes gradients with.
//
// A preset is named after the paper that fixed its numbers. Norms are Euclidean unless stated; R is the norm
// of one tensor's gradient, N the norm over all tensors.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "gradstab/compat.hpp"
#include "gradstab/export.hpp"
#include "gradstab/status.hpp"

namespace gradstab {

/// Clipping by value. Source: torch.nn.utils.clip_grad_value_.
struct ClipByValueOptions {
  double max_abs = 0.1;  ///< largest absolute value of an element; finite and above 0

  /// arXiv 2502.17055, of all its experiments.
  static constexpr ClipByValueOptions gradient_stabilizer() { return {}; }

  GRADSTAB_API Status validate() const;
};

/// Clipping by global norm. Source: torch.nn.utils.clip_grad_norm_.
struct GlobalNormOptions {
  double max_norm = 1.0;  ///< finite and above 0
  /// Measure the largest absolute entry (the infinity norm) instead; the same as an infinite `p`.
  bool max_abs = false;
  double p = 2.0;  ///< which norm: at least 1, infinity for the largest absolute entry

  /// arXiv 2502.17055, of all its experiments.
  static constexpr GlobalNormOptions gradient_stabilizer() { return {}; }

  GRADSTAB_API Status validate() const;
};

/// Adaptive gradient clipping, AGC. Source: arXiv 2102.06171 in the form of timm.
struct AdaptiveClipOptions {
  double clip_factor = 0.01;  ///< limit of a unit's gradient norm in units of its parameter norm; above 0
  double epsilon = 1e-3;      ///< the least a unit's parameter norm counts for; above 0
  double norm_floor = 1e-6;   ///< the least a gradient norm is divided by; at least 0
  /// Parameters that are left alone: those whose name fits one of these, `*` standing for any characters. The
  /// default knows the usual names of a model's final layer, which the paper leaves out.
  std::vector<std::string> exclude = final_head();

  /// "head.*", "*.head.*", "lm_head.*", "*.lm_head.*", "classifier.*", "*.classifier.*", "fc.*", "output.*"
  GRADSTAB_API static std::vector<std::string> final_head();

  /// arXiv 2102.06171, and the factor of arXiv 2502.17055.
  static AdaptiveClipOptions nfnet() { return {}; }

  GRADSTAB_API Status validate() const;
};

/// How ZClip tells a spike, and what it clips one to. mu and sd are the running mean and standard deviation
/// of N.
enum class ZClipMode : std::uint8_t {
  zscore,      ///< z = (N - mu)/(sd + epsilon) above the threshold; `ZClipTarget` says what to clip to
  percentile,  ///< N above mu + threshold * sd, which is also what is clipped to. The authors' word for it
};

/// What a spike found by its z-score is clipped to.
enum class ZClipTarget : std::uint8_t {
  adaptive_scaling,  ///< clip_factor * (mu + threshold^2 sd / z): the higher the spike, the lower
  mean,              ///< mu
};

/// ZClip: clipping by global norm with a threshold from running statistics of the global norm. Source: arXiv
/// 2504.02507 and its released code.
struct ZClipOptions {
  double alpha = 0.97;             ///< decay of the running mean and variance, in [0, 1)
  double z_threshold = 2.5;        ///< finite and above 0
  double max_norm = 1.0;           ///< also a fixed limit, as in clipping by global norm; infinity: none
  double epsilon = 1e-6;           ///< added to the standard deviation; at least 0
  std::int64_t warmup_steps = 25;  ///< norms that the first statistics come from; at least 1
  ZClipMode mode = ZClipMode::zscore;
  ZClipTarget target = ZClipTarget::adaptive_scaling;
  double clip_factor = 1.0;           ///< of adaptive scaling; finite and above 0
  bool skip_update_on_spike = false;  ///< a spike leaves the statistics alone; otherwise its threshold enters
  Compat compat = Compat::robust;

  /// The authors' recommendation, also used by arXiv 2502.17055.
  static constexpr ZClipOptions zclip() { return {}; }

  GRADSTAB_API Status validate() const;
};

/// AdaGC: clips each tensor's norm relative to its own running average. Source: arXiv 2502.11034 and its
/// patch of PyTorch.
struct AdaGcOptions {
  double relative = 1.04;  ///< lambda_rel: limit of R in units of its running average; above 0
  double absolute = 1.0;   ///< lambda_abs: limit of the norm during the warm-up of the statistics; above 0
  double beta = 0.99;      ///< decay of the running average, in [0, 1)
  std::int64_t warmup_steps = 100;  ///< T_start, the last one included; at least 0
  double epsilon = 1e-6;            ///< added to the norms that are divided by; at least 0
  /// During the warm-up `absolute` limits N, as published, which needs all tensors at once. Off, it limits
  /// each tensor's own norm, and the method needs one tensor at a time from the first step on.
  bool global_warmup = true;
  bool whole_model = false;  ///< one running average, that of N
  Compat compat = Compat::robust;

  /// The first version of the paper.
  static constexpr AdaGcOptions adagc_v1() {
    AdaGcOptions options;
    options.relative = 1.05;
    options.beta = 0.98;
    return options;
  }
  /// The released code.
  static constexpr AdaGcOptions released() {
    AdaGcOptions options;
    options.compat = Compat::released;
    return options;
  }

  GRADSTAB_API Status validate() const;
};

/// SPAM's clipping by itself: an element whose square exceeds `threshold` times its own second moment is cut
/// to the root of that. Source: arXiv 2501.06842.
struct SpikeAwareClipOptions {
  double threshold = 5000.0;          ///< above 0
  double beta2 = 0.999;               ///< decay of the second moment, in [0, 1)
  std::int64_t reset_interval = 500;  ///< steps after which the second moment starts afresh; 0: never
  std::int64_t quiet_steps = 20;      ///< after a start or reset nothing is clipped
  Compat compat = Compat::robust;

  static constexpr SpikeAwareClipOptions spam() { return {}; }

  GRADSTAB_API Status validate() const;
};

/// AdaClip, the first part of Stable-SPAM: an element above the running average of a tensor's largest one is
/// scaled down with it. Source: arXiv 2502.17055, versions 1 and 2.
struct AdaptiveValueClipOptions {
  double theta = 0.999;  ///< decay of the average of the largest absolute value, in [0, 1)
  /// Of Adam's moments, only under `Compat::released`: the bias correction of the average begins again
  /// there, as in the authors' code. 0: never.
  std::int64_t reset_interval = 0;
  Compat compat = Compat::robust;

  static constexpr AdaptiveValueClipOptions stable_spam() { return {}; }

  GRADSTAB_API Status validate() const;
};

/// AdaGN, the second part of Stable-SPAM: GradientStabilizer's rule with other decays, always bias-corrected.
/// Source: arXiv 2502.17055, versions 1 and 2.
struct AdaptiveNormOptions {
  double gamma1 = 0.7;    ///< decay of the first moment of the norm, in [0, 1)
  double gamma2 = 0.9;    ///< decay of the second moment of the norm, in [0, 1)
  double epsilon = 1e-8;  ///< added to the root of the second moment; finite and at least 0
  /// Above 0: gamma1 falls along a cosine from its full value to `least_scale` times it within that many
  /// steps, and stays there.
  std::int64_t total_steps = 0;
  double least_scale = 0.5;         ///< eta_min, in [0, 1]
  std::int64_t reset_interval = 0;  ///< as in AdaptiveValueClipOptions
  Compat compat = Compat::robust;

  static constexpr AdaptiveNormOptions stable_spam() { return {}; }

  /// What gamma1 is multiplied by at a step, from 1; Stable-SPAM multiplies Adam's beta1 by it as well.
  GRADSTAB_API double scale_at(std::int64_t step) const noexcept;

  GRADSTAB_API Status validate() const;
};

}  // namespace gradstab
