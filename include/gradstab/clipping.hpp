// The settings of the known methods for clipping and normalizing gradients.
//
// A preset is named after the paper that fixed its numbers. Norms are Euclidean unless stated; R is the norm
// of one tensor's gradient, N the norm over all tensors.
#pragma once

#include <cstddef>
#include <cstdint>
#include <iterator>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "gradstab/export.hpp"
#include "gradstab/options.hpp"
#include "gradstab/status.hpp"

namespace gradstab {

/// Clipping by value. Source: torch.nn.utils.clip_grad_value_.
struct ClipByValueOptions {
  double max_abs = 0.1;  ///< largest absolute value of an element; finite and above 0

  /// As in all experiments of arXiv 2502.17055.
  static constexpr ClipByValueOptions gradient_stabilizer() { return {}; }

  GRADSTAB_API Status validate() const;
};

template <class Visit>
constexpr void visit_settings(std::type_identity<ClipByValueOptions>, Visit visit) {
  visit(Setting{.name = "max_abs",
                .help = "largest absolute value of an element",
                .range = kFiniteAboveZero,
                .published = "clip_value"},
        &ClipByValueOptions::max_abs);
}

/// Clipping by global norm. Source: torch.nn.utils.clip_grad_norm_.
struct GlobalNormOptions {
  double max_norm = 1.0;  ///< finite and above 0
  double p = 2.0;         ///< which norm: at least 1, infinity for the largest absolute entry

  /// As in all experiments of arXiv 2502.17055.
  static constexpr GlobalNormOptions gradient_stabilizer() { return {}; }
  /// By the largest absolute entry: an infinite `p`.
  static constexpr GlobalNormOptions largest_entry(double max_norm = 1.0) {
    return {.max_norm = max_norm, .p = kUnbounded};
  }

  GRADSTAB_API Status validate() const;
};

inline constexpr Range kNormPower{"at least 1, or infinite", 1.0};

template <class Visit>
constexpr void visit_settings(std::type_identity<GlobalNormOptions>, Visit visit) {
  using Options = GlobalNormOptions;
  visit(Setting{"max_norm", "largest global norm", kFiniteAboveZero}, &Options::max_norm);
  visit(Setting{.name = "p",
                .help = "which norm; infinite for the largest absolute entry",
                .range = kNormPower,
                .formerly = "norm_type",
                .published = "norm_type"},
        &Options::p);
}

/// Adaptive gradient clipping, AGC. Source: arXiv 2102.06171 in the form of timm.
struct AdaptiveClipOptions {
  double clip_factor = 0.01;  ///< limit of a unit's gradient norm in units of its parameter norm; above 0
  double epsilon = 1e-3;      ///< lower bound of a unit's parameter norm; above 0
  double norm_floor = 1e-6;   ///< lower bound of a gradient norm that is divided by; at least 0
  /// Parameters that are not clipped: those whose name matches one of these patterns, in which `*` stands for
  /// any characters. The default matches the usual names of a model's final layer, which the paper leaves
  /// out.
  std::vector<std::string> exclude = final_head();

  /// "head.*", "*.head.*", "lm_head.*", "*.lm_head.*", "classifier.*", "*.classifier.*", "fc.*", "output.*"
  GRADSTAB_API static std::vector<std::string> final_head();

  /// arXiv 2102.06171, and the factor of arXiv 2502.17055.
  static AdaptiveClipOptions nfnet() { return {}; }

  GRADSTAB_API Status validate() const;
};

template <class Visit>
constexpr void visit_settings(std::type_identity<AdaptiveClipOptions>, Visit visit) {
  using Options = AdaptiveClipOptions;
  visit(Setting{"clip_factor", "limit of a unit's gradient norm in units of its parameter norm",
                kFiniteAboveZero},
        &Options::clip_factor);
  visit(Setting{.name = "epsilon",
                .help = "lower bound of a unit's parameter norm",
                .range = kFiniteAboveZero,
                .published = "eps"},
        &Options::epsilon);
  visit(Setting{"norm_floor", "lower bound of a gradient norm that is divided by", kFiniteNotNegative},
        &Options::norm_floor);
  visit(Setting{"exclude", "patterns of names of parameters that are not clipped"}, &Options::exclude);
}

/// How ZClip recognizes a spike, and what it clips it to. mu and sd are the running mean and standard
/// deviation of N.
enum class ZClipMode : std::uint8_t {
  zscore,      ///< z = (N - mu)/(sd + epsilon) above the threshold; `ZClipTarget` says what to clip to
  percentile,  ///< N above mu + threshold * sd, and clipped to that. The name is the authors'
};

inline constexpr std::string_view kZClipModeNames[] = {"zscore", "percentile"};
static_assert(std::size(kZClipModeNames) == static_cast<std::size_t>(ZClipMode::percentile) + 1);
constexpr std::span<const std::string_view> names_of(ZClipMode) noexcept {
  return kZClipModeNames;
}

/// What a spike found by its z-score is clipped to.
enum class ZClipTarget : std::uint8_t {
  adaptive_scaling,  ///< clip_factor * (mu + threshold^2 sd / z), lower for higher spikes
  mean,              ///< mu
};

inline constexpr std::string_view kZClipTargetNames[] = {"adaptive_scaling", "mean"};
static_assert(std::size(kZClipTargetNames) == static_cast<std::size_t>(ZClipTarget::mean) + 1);
constexpr std::span<const std::string_view> names_of(ZClipTarget) noexcept {
  return kZClipTargetNames;
}

/// ZClip: clipping by global norm with a threshold from running statistics of the global norm. Source: arXiv
/// 2504.02507 and its released code.
struct ZClipOptions {
  double alpha = 0.97;       ///< decay of the running mean and variance, in [0, 1)
  double z_threshold = 2.5;  ///< finite and above 0
  double max_norm = 1.0;     ///< an additional fixed limit, as in clipping by global norm; infinity: none
  double epsilon = 1e-6;     ///< added to the standard deviation; at least 0
  std::int64_t warmup_steps = 25;  ///< number of norms in the first statistics; at least 1
  ZClipMode mode = ZClipMode::zscore;
  ZClipTarget target = ZClipTarget::adaptive_scaling;
  double clip_factor = 1.0;           ///< factor of the limit of adaptive scaling; finite and above 0
  bool skip_update_on_spike = false;  ///< a spike does not enter the statistics; otherwise its limit does
  Compat compat = Compat::robust;

  /// The authors' recommendation, also used by arXiv 2502.17055.
  static constexpr ZClipOptions zclip() { return {}; }

  GRADSTAB_API Status validate() const;
};

template <class Visit>
constexpr void visit_settings(std::type_identity<ZClipOptions>, Visit visit) {
  using Options = ZClipOptions;
  visit(Setting{"alpha", "decay of the running mean and variance of the global norm", kDecay},
        &Options::alpha);
  visit(Setting{.name = "z_threshold",
                .help = "standard deviations above the mean at which a spike begins",
                .range = kFiniteAboveZero,
                .published = "z_thresh"},
        &Options::z_threshold);
  visit(Setting{.name = "max_norm",
                .help = "an additional fixed limit of the global norm; infinite for none",
                .range = kAboveZeroOrNone,
                .published = "max_grad_norm"},
        &Options::max_norm);
  visit(Setting{.name = "epsilon",
                .help = "added to the standard deviation",
                .range = kFiniteNotNegative,
                .published = "eps"},
        &Options::epsilon);
  visit(Setting{"warmup_steps", "number of norms from which the first statistics are computed", kAtLeastOne},
        &Options::warmup_steps);
  visit(Setting{"mode", "how a spike is recognized"}, &Options::mode);
  visit(Setting{.name = "target", .help = "what a spike is clipped to", .published = "clip_option"},
        &Options::target);
  visit(Setting{"clip_factor", "factor of the limit of adaptive scaling", kFiniteAboveZero},
        &Options::clip_factor);
  visit(Setting{"skip_update_on_spike", "a spike does not enter the statistics"},
        &Options::skip_update_on_spike);
  visit(Setting{"compat", "this library's form or the authors'"}, &Options::compat);
}

/// AdaGC: clips each tensor's norm relative to its own running average. Source: arXiv 2502.11034 and its
/// patch of PyTorch.
struct AdaGcOptions {
  double relative = 1.04;  ///< lambda_rel: limit of R in units of its running average; above 0
  double absolute = 1.0;   ///< lambda_abs: limit of the norm during the warm-up of the statistics; above 0
  double beta = 0.99;      ///< decay of the running average, in [0, 1)
  std::int64_t warmup_steps = 100;  ///< T_start, the last one included; at least 0
  double epsilon = 1e-6;            ///< added to a norm before it is divided by; at least 0
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

template <class Visit>
constexpr void visit_settings(std::type_identity<AdaGcOptions>, Visit visit) {
  using Options = AdaGcOptions;
  visit(Setting{.name = "relative",
                .help = "limit of a tensor's norm in units of its running average",
                .range = kFiniteAboveZero,
                .published = "lam_rel"},
        &Options::relative);
  visit(Setting{.name = "absolute",
                .help = "limit of the norm during the warm-up",
                .range = kFiniteAboveZero,
                .published = "lam_abs"},
        &Options::absolute);
  visit(Setting{"beta", "decay of the running average", kDecay}, &Options::beta);
  visit(Setting{.name = "warmup_steps",
                .help = "steps of the warm-up",
                .range = kAtLeastZero,
                .published = "T_start"},
        &Options::warmup_steps);
  visit(Setting{.name = "epsilon",
                .help = "added to a norm before it is divided by",
                .range = kFiniteNotNegative,
                .published = "eps"},
        &Options::epsilon);
  visit(Setting{"global_warmup", "limit the global norm during the warm-up, instead of each tensor's own"},
        &Options::global_warmup);
  visit(Setting{"whole_model", "one running average, that of the global norm"}, &Options::whole_model);
  visit(Setting{"compat", "this library's form or the authors'"}, &Options::compat);
}

/// SPAM's clipping alone: an element whose square exceeds `threshold` times its own second moment is cut to
/// the root of that moment. Source: arXiv 2501.06842.
struct SpikeAwareClipOptions {
  double threshold = 5000.0;          ///< above 0
  double beta2 = 0.999;               ///< decay of the second moment, in [0, 1)
  std::int64_t reset_interval = 500;  ///< steps after which the second moment starts afresh; 0: never
  std::int64_t quiet_steps = 20;      ///< after a start or reset nothing is clipped
  Compat compat = Compat::robust;

  static constexpr SpikeAwareClipOptions spam() { return {}; }

  GRADSTAB_API Status validate() const;
};

template <class Visit>
constexpr void visit_settings(std::type_identity<SpikeAwareClipOptions>, Visit visit) {
  using Options = SpikeAwareClipOptions;
  visit(Setting{"threshold", "an element is cut where its square exceeds this many second moments",
                kFiniteAboveZero},
        &Options::threshold);
  visit(Setting{"beta2", "decay of the second moment", kDecay}, &Options::beta2);
  visit(Setting{.name = "reset_interval",
                .help = "steps after which the second moment starts afresh; 0: never",
                .range = kAtLeastZero,
                .published = "DeltaT"},
        &Options::reset_interval);
  visit(Setting{.name = "quiet_steps",
                .help = "steps after a start or reset in which nothing is clipped",
                .range = kAtLeastZero,
                .published = "grad_accu_steps"},
        &Options::quiet_steps);
  visit(Setting{"compat", "this library's form or the authors'"}, &Options::compat);
}

/// AdaClip, the first part of Stable-SPAM: elements above the running average of a tensor's largest one are
/// scaled down by the same factor, so that the largest becomes that average. Source: arXiv 2502.17055,
/// versions 1 and 2.
struct AdaptiveValueClipOptions {
  double theta = 0.999;  ///< decay of the average of the largest absolute value, in [0, 1)
  /// Steps after which Adam's moments start afresh, only under `Compat::released`: the bias correction of the
  /// average begins again there, as in the authors' code. 0: never.
  std::int64_t reset_interval = 0;
  Compat compat = Compat::robust;

  static constexpr AdaptiveValueClipOptions stable_spam() { return {}; }

  GRADSTAB_API Status validate() const;
};

template <class Visit>
constexpr void visit_settings(std::type_identity<AdaptiveValueClipOptions>, Visit visit) {
  using Options = AdaptiveValueClipOptions;
  visit(Setting{.name = "theta",
                .help = "decay of the average of the largest absolute value",
                .range = kDecay,
                .published = "gamma3"},
        &Options::theta);
  visit(Setting{.name = "reset_interval",
                .help = "steps after which Adam's moments start afresh, only under compat released; 0: never",
                .range = kAtLeastZero,
                .published = "update_proj_gap"},
        &Options::reset_interval);
  visit(Setting{"compat", "this library's form or the authors'"}, &Options::compat);
}

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

template <class Visit>
constexpr void visit_settings(std::type_identity<AdaptiveNormOptions>, Visit visit) {
  using Options = AdaptiveNormOptions;
  visit(Setting{"gamma1", "decay of the first moment of the norm", kDecay}, &Options::gamma1);
  visit(Setting{"gamma2", "decay of the second moment of the norm", kDecay}, &Options::gamma2);
  visit(Setting{.name = "epsilon",
                .help = "added to the root of the second moment",
                .range = kFiniteNotNegative,
                .published = "eps"},
        &Options::epsilon);
  visit(Setting{.name = "total_steps",
                .help = "number of steps over which gamma1 falls along a cosine; 0: it stays",
                .range = kAtLeastZero,
                .published = "total_T"},
        &Options::total_steps);
  visit(Setting{.name = "least_scale",
                .help = "value that gamma1 falls to, as a fraction of its full value",
                .range = kFraction,
                .published = "eta_min"},
        &Options::least_scale);
  visit(Setting{.name = "reset_interval",
                .help = "steps after which Adam's moments start afresh, only under compat released; 0: never",
                .range = kAtLeastZero,
                .published = "update_proj_gap"},
        &Options::reset_interval);
  visit(Setting{"compat", "this library's form or the authors'"}, &Options::compat);
}

/// Unit norm: only the units can be set.
struct NormalizeOptions {
  Status validate() const { return {}; }
};

template <class Visit>
constexpr void visit_settings(std::type_identity<NormalizeOptions>, Visit) {}

/// A constant factor.
struct ScaleByOptions {
  double factor = 1.0;  ///< finite

  GRADSTAB_API Status validate() const;
};

template <class Visit>
constexpr void visit_settings(std::type_identity<ScaleByOptions>, Visit visit) {
  visit(Setting{.name = "factor",
                .help = "what every gradient is multiplied by",
                .range = kFinite,
                .formerly = "scale"},
        &ScaleByOptions::factor);
}

/// Measuring without changing anything.
struct RecordNormsOptions {
  double spike_ratio = StabilizerOptions{}.spike_ratio;  ///< as in StabilizerOptions

  GRADSTAB_API Status validate() const;
};

template <class Visit>
constexpr void visit_settings(std::type_identity<RecordNormsOptions>, Visit visit) {
  visit(Setting{.name = "spike_ratio",
                .help = "a norm above this many roots of the second moment is labelled a spike",
                .range = kAboveZero,
                .label = true},
        &RecordNormsOptions::spike_ratio);
}

}  // namespace gradstab
