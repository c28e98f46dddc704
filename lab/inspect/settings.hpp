// What a trace is held against.
#pragma once

#include "gradstab/options.hpp"
#include "gradstab/status.hpp"

namespace gradstab::lab::inspect {

/// The settings of GradientStabilizer whose effect is computed.
struct InspectSettings {
  double gamma1 = StabilizerOptions().gamma1;
  double gamma2 = StabilizerOptions().gamma2;
  double robust_kappa = StabilizerOptions::robust().robust_kappa;

  StabilizerOptions published() const;
  StabilizerOptions robust() const;
  /// Steps that the second moment remembers: 1/(1 - gamma2).
  double memory() const { return 1.0 / (1.0 - gamma2); }
  /// The size of a spike, in medians, beyond which it holds the published rule below half afterwards: where
  /// (K^2 - 1)(1 - gamma2) is 3, so that suppressed_stabilized_norm is 1/2.
  double holding_size() const;
  /// Errors name the value and the range.
  Status validate() const;
};

}  // namespace gradstab::lab::inspect
