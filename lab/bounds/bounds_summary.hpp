// Everything that is known of the stabilized norm for given settings, as numbers: the closed-form bounds of
// gradstab/bounds.hpp, and simulated spikes.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <vector>

#include "gradstab/options.hpp"
#include "gradstab/status.hpp"
#include "lab/bounds/spike_response.hpp"

namespace gradstab::lab {

/// Steps of constant norm that a spike may be simulated after at most.
inline constexpr std::int64_t kLongestHistory = 10'000'000;

struct BoundsRequest {
  double gamma1 = StabilizerOptions().gamma1;
  double gamma2 = StabilizerOptions().gamma2;
  double kappa = 0.0;           ///< of robust moments; 0 for the published rule alone
  std::int64_t history = 3000;  ///< steps of constant norm before the spikes of `recoveries`

  /// The settings in the paper form or, with bias correction, the released form; by the published rule.
  StabilizerOptions published(bool bias_correction) const;
  /// The same with robust moments. Only where kappa is above 0.
  StabilizerOptions robust(bool bias_correction) const;

  /// Errors name the value and the range.
  Status validate() const;
};

/// A number for each form of the method.
struct ByForm {
  double paper;     ///< Algorithm 1, without bias correction
  double released;  ///< with bias correction
};

struct StepRow {
  std::int64_t step;  ///< from 1
  ByForm published;
  std::optional<ByForm> robust;  ///< where kappa is above 0
};

struct RatioRow {
  double ratio;  ///< of the spike to the first moment before it
  double paper;
};

struct RecoveryRow {
  double ratio;  ///< of the spike to the constant norm around it
  SpikeResponse published;
  std::optional<SpikeResponse> robust;  ///< where kappa is above 0
};

/// See summarize_bounds. Infinity wherever there is no bound.
struct BoundsSummary {
  BoundsRequest request;
  double uniform_bound;  ///< Lemma 3.6: paper form, published rule, any step
  std::optional<double>
      robust_uniform_bound;             ///< of the released form with robust moments, where kappa is above 0
  double kappa_of_no_effect;            ///< from this kappa on the two are equal
  std::vector<StepRow> step_bounds;     ///< the least upper bound of rho at a step
  std::vector<StepRow> spikes_at_step;  ///< rho of an infinite spike at a step, after constant norms
  std::vector<RatioRow> spike_bounds;   ///< Lemma 3.4, published rule
  std::vector<RecoveryRow> recoveries;  ///< released form, simulated
};

/// Expects a request that is valid.
BoundsSummary summarize_bounds(const BoundsRequest& request);

/// What `gradstab bounds --json` prints. All keys are always there; null stands for infinity, for robust
/// moments where kappa is 0, and for a recovery that takes longer than `recovery_horizon` steps.
nlohmann::ordered_json to_json(const BoundsSummary& summary);

}  // namespace gradstab::lab
