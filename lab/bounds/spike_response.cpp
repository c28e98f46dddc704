#include "lab/bounds/spike_response.hpp"

#include <algorithm>
#include <cmath>

#include "gradstab/decide.hpp"

namespace gradstab::lab {
namespace {

/// rho of one more norm.
double next_rho(const StabilizerOptions& options, NormMoments& moments, double norm) {
  return decide(options, bias_correction_at(options, moments.step + 1), moments, norm).stabilized_norm;
}

/// Steps after which nothing of a spike of `ratio` is left in the first moment that could still lift rho.
/// Before, rho may be large and yet to fall; after, it only rises, as the second moment forgets.
std::int64_t steps_to_forget(const StabilizerOptions& options, double ratio) {
  constexpr double kNothing = 1e-12;
  const double entered = (1.0 - options.gamma1) * ratio;
  if (options.gamma1 == 0.0 || entered <= kNothing) return 1;
  const double steps = std::log(kNothing / entered) / std::log(options.gamma1);
  return static_cast<std::int64_t>(std::fmin(std::ceil(steps), static_cast<double>(kMostStepsAfterSpike)));
}

}  // namespace

NormMoments constant_history(const StabilizerOptions& options, std::int64_t steps) {
  NormMoments moments;
  for (std::int64_t step = 0; step < steps; ++step) next_rho(options, moments, 1.0);
  return moments;
}

SpikeResponse simulate_spike(const StabilizerOptions& options, const NormMoments& history, double ratio) {
  constexpr double kHalf = 0.5;
  constexpr double kNineTenths = 0.9;
  NormMoments moments = history;
  SpikeResponse response;
  response.on_spike = next_rho(options, moments, ratio);
  response.smallest_after = HUGE_VAL;
  // The last steps at which rho was below.
  std::int64_t below_half = 0;
  std::int64_t below_nine_tenths = 0;
  const std::int64_t settled = steps_to_forget(options, ratio);
  for (std::int64_t step = 1; step <= kMostStepsAfterSpike; ++step) {
    const double rho = next_rho(options, moments, 1.0);
    response.smallest_after = std::min(response.smallest_after, rho);
    if (rho < kHalf) below_half = step;
    if (rho < kNineTenths) below_nine_tenths = step;
    if (step >= settled && rho >= kNineTenths) break;
  }
  const auto recovered_after = [](std::int64_t last_below) -> std::optional<std::int64_t> {
    if (last_below == kMostStepsAfterSpike) return std::nullopt;
    return last_below == 0 ? 0 : last_below + 1;
  };
  response.steps_until_half = recovered_after(below_half);
  response.steps_until_nine_tenths = recovered_after(below_nine_tenths);
  return response;
}

std::vector<SpikeCurvePoint> spike_curve(const StabilizerOptions& options, const NormMoments& history,
                                         double ratio, std::int64_t last_step) {
  constexpr std::int64_t kEveryStep = 100;  // up to here
  constexpr std::int64_t kGrowth = 50;      // from there on a fiftieth more each time
  NormMoments moments = history;
  std::vector<SpikeCurvePoint> curve = {{0, next_rho(options, moments, ratio)}};
  std::int64_t drawn_next = 1;
  for (std::int64_t step = 1; step <= last_step; ++step) {
    const double rho = next_rho(options, moments, 1.0);
    if (step != drawn_next && step != last_step) continue;
    curve.push_back({step, rho});
    drawn_next = step < kEveryStep ? step + 1 : step + step / kGrowth;
  }
  return curve;
}

}  // namespace gradstab::lab
