// StabilizerOptions: the settings of GradientStabilizer, validated once.
#pragma once

#include <type_traits>

#include "gradstab/export.hpp"
#include "gradstab/settings.hpp"
#include "gradstab/status.hpp"

namespace gradstab {

/// Settings of GradientStabilizer (arXiv 2502.17055v4). The defaults are the paper's gammas with bias
/// correction, the form of the authors' released code: a constant gradient norm then gives a stabilized norm
/// of exactly 1 at every step.
struct StabilizerOptions {
  double gamma1 = 0.6;    ///< decay of the first moment of the gradient norm, in [0, 1)
  double gamma2 = 0.999;  ///< decay of the second moment of the gradient norm, in [0, 1)
  /// Added to the root of the second moment and a floor of the raw norm, as in the authors' code. Absolute,
  /// so any value above 0 breaks scale invariance for norms near it; 0 is safe here because a zero norm never
  /// reaches the division.
  double epsilon = 0.0;
  bool bias_correction = true;  ///< divide each moment by one minus decay to the step count
  /// A norm above `spike_ratio` times the root of the bias-corrected second moment before it is flagged as a
  /// gradient spike in the report. Only a label: it changes nothing.
  double spike_ratio = 4.0;
  /// Robust moments, this project's own addition to the method: 0 switches them off (the published rule);
  /// above 1, what of a norm enters the moments is limited to about `robust_kappa` times their bias-corrected
  /// mean, so that one spike cannot suppress the tensor afterwards and, with bias correction, no norm is
  /// stabilized to more than gamma1 + (1 - gamma1) robust_kappa. See docs/methods.md.
  double robust_kappa = 0.0;

  /// Algorithm 1 of the paper: no bias correction. The first step then has a stabilized norm of
  /// (1 - gamma1) / sqrt(1 - gamma2) = 12.65 for any gradient.
  static constexpr StabilizerOptions paper() {
    StabilizerOptions options;
    options.bias_correction = false;
    return options;
  }

  /// The authors' code to the letter: bias correction and an absolute epsilon of 1e-12.
  static constexpr StabilizerOptions released() {
    StabilizerOptions options;
    options.epsilon = 1e-12;
    return options;
  }

  /// The default form with robust moments. 3 is the value that was tried; smaller ones bound a spike's step
  /// more tightly, larger ones leave more of the published rule.
  static constexpr StabilizerOptions robust(double kappa = 3.0) {
    StabilizerOptions options;
    options.robust_kappa = kappa;
    return options;
  }

  /// Errors name the value and the range.
  GRADSTAB_API Status validate() const;

  bool operator==(const StabilizerOptions&) const = default;
};

inline constexpr Range kRobustKappa{"0 (off) or finite and above 1", 1.0, kUnbounded, false, false, true};

template <class Visit>
constexpr void visit_settings(std::type_identity<StabilizerOptions>, Visit visit) {
  using Options = StabilizerOptions;
  visit(Setting{"gamma1", "decay of the first moment of the gradient norm", kDecay}, &Options::gamma1);
  visit(Setting{"gamma2", "decay of the second moment of the gradient norm", kDecay}, &Options::gamma2);
  visit(
      Setting{
          .name = "epsilon",
          .help = "added to the root of the second moment, and a floor of the norm; 0 keeps scale invariance",
          .range = kFiniteNotNegative,
          .published = "eps"},
      &Options::epsilon);
  visit(Setting{"bias_correction", "divide each moment by one minus its decay to the count of norms"},
        &Options::bias_correction);
  visit(Setting{.name = "spike_ratio",
                .help = "a norm above this many roots of the second moment is labelled a spike",
                .range = kAboveZero,
                .label = true},
        &Options::spike_ratio);
  visit(Setting{.name = "robust_kappa",
                .help = "a norm enters the moments as at most this many times their mean; 0: off",
                .range = kRobustKappa,
                .formerly = "kappa"},
        &Options::robust_kappa);
}

}  // namespace gradstab
