// What one spike does to a tensor's stabilized norm, simulated with the library's own decision: constant
// norms, one spike, constant norms again.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "gradstab/decide.hpp"
#include "gradstab/options.hpp"

namespace gradstab::lab {

/// Steps after a spike that are simulated at most. Enough for the defaults and a spike of any size that a
/// float32 can hold; a gamma2 very near 1 takes longer to forget.
inline constexpr std::int64_t kMostStepsAfterSpike = 2'000'000;

/// How a tensor recovers from one spike. rho is the stabilized norm; it is 1 for a constant norm.
struct SpikeResponse {
  double on_spike = 0.0;        ///< rho of the spike itself
  double smallest_after = 0.0;  ///< the smallest rho of the steps after it

  // Steps after the spike (the next one being 1) from which on rho stays at 0.5 or 0.9 and above. 0 if it
  // never falls below; nothing if it is still below after kMostStepsAfterSpike.
  std::optional<std::int64_t> steps_until_half;
  std::optional<std::int64_t> steps_until_nine_tenths;
};

/// rho `step` steps after the spike; step 0 is the spike itself.
struct SpikeCurvePoint {
  std::int64_t step;
  double rho;
};

/// The moments of a tensor whose gradient norm was 1 at each of `steps` steps.
NormMoments constant_history(const StabilizerOptions& options, std::int64_t steps);

/// A spike of `ratio` (finite, above 0) times the norm after `history`, then norms of 1 until rho has
/// recovered.
SpikeResponse simulate_spike(const StabilizerOptions& options, const NormMoments& history, double ratio);

/// The same spike drawn as a curve: every step up to 100, from there on steps that grow by 2 %, and
/// `last_step`.
std::vector<SpikeCurvePoint> spike_curve(const StabilizerOptions& options, const NormMoments& history,
                                         double ratio, std::int64_t last_step);

}  // namespace gradstab::lab
