#include "lab/bounds/bounds_summary.hpp"

#include <fmt/format.h>

#include <cmath>
#include <limits>

#include "gradstab/bounds.hpp"

namespace gradstab::lab {
namespace {

using nlohmann::ordered_json;

constexpr std::int64_t kSteps[] = {1, 2, 5, 10, 20, 50, 100, 1000, 10000};
constexpr double kLemmaRatios[] = {2, 10, 100, 1000};
constexpr double kRecoveryRatios[] = {10, 100, 1e3, 1e6};
constexpr double kInfinity = std::numeric_limits<double>::infinity();

/// A row of `value(options)` for both forms, by the published rule and with robust moments.
template <class Value>
StepRow row_of(const BoundsRequest& request, std::int64_t step, Value value) {
  StepRow row{step, {value(request.published(false)), value(request.published(true))}, std::nullopt};
  if (request.kappa > 0.0) row.robust = {value(request.robust(false)), value(request.robust(true))};
  return row;
}

ordered_json number(double value) {
  return std::isfinite(value) ? ordered_json(value) : ordered_json(nullptr);
}

ordered_json number(const std::optional<std::int64_t>& value) {
  return value ? ordered_json(*value) : ordered_json(nullptr);
}

ordered_json to_json(const std::vector<StepRow>& rows) {
  ordered_json result = ordered_json::array();
  for (const StepRow& row : rows) {
    const ByForm robust = row.robust.value_or(ByForm{kInfinity, kInfinity});
    result.push_back({{"step", row.step},
                      {"paper", number(row.published.paper)},
                      {"released", number(row.published.released)},
                      {"paper_robust", number(robust.paper)},
                      {"released_robust", number(robust.released)}});
  }
  return result;
}

ordered_json to_json(const SpikeResponse& response) {
  return {{"rho_on_spike", number(response.on_spike)},
          {"smallest_rho_after", number(response.smallest_after)},
          {"steps_until_half", number(response.steps_until_half)},
          {"steps_until_nine_tenths", number(response.steps_until_nine_tenths)}};
}

}  // namespace

StabilizerOptions BoundsRequest::published(bool bias_correction) const {
  StabilizerOptions options;
  options.gamma1 = gamma1;
  options.gamma2 = gamma2;
  options.bias_correction = bias_correction;
  return options;
}

StabilizerOptions BoundsRequest::robust(bool bias_correction) const {
  StabilizerOptions options = published(bias_correction);
  options.robust_kappa = kappa;
  return options;
}

Status BoundsRequest::validate() const {
  GRADSTAB_RETURN_IF_ERROR(robust(true).validate());
  if (history < 0 || history > kLongestHistory) {
    return {StatusCode::invalid_argument,
            fmt::format("history must be in [0, {}], got {}", kLongestHistory, history)};
  }
  return {};
}

BoundsSummary summarize_bounds(const BoundsRequest& request) {
  const bool robust = request.kappa > 0.0;
  const StabilizerOptions paper = request.published(false);
  BoundsSummary summary;
  summary.request = request;
  summary.uniform_bound = uniform_bound(paper);
  if (robust) summary.robust_uniform_bound = uniform_bound(request.robust(true));
  summary.kappa_of_no_effect = robust_kappa_of_no_effect(paper);
  for (const std::int64_t step : kSteps) {
    summary.step_bounds.push_back(row_of(
        request, step, [step](const StabilizerOptions& options) { return step_bound(options, step); }));
    summary.spikes_at_step.push_back(row_of(request, step, [step](const StabilizerOptions& options) {
      return spike_stabilized_norm(options, kInfinity, step - 1);
    }));
  }
  for (const double ratio : kLemmaRatios) summary.spike_bounds.push_back({ratio, spike_bound(paper, ratio)});

  const StabilizerOptions published = request.published(true);
  const NormMoments history = constant_history(published, request.history);
  const NormMoments robust_history =
      robust ? constant_history(request.robust(true), request.history) : NormMoments();
  for (const double ratio : kRecoveryRatios) {
    RecoveryRow row{ratio, simulate_spike(published, history, ratio), std::nullopt};
    if (robust) row.robust = simulate_spike(request.robust(true), robust_history, ratio);
    summary.recoveries.push_back(row);
  }
  return summary;
}

ordered_json to_json(const BoundsSummary& summary) {
  const BoundsRequest& request = summary.request;
  ordered_json result = {{"gamma1", request.gamma1},
                         {"gamma2", request.gamma2},
                         {"kappa", request.kappa},
                         {"history", request.history},
                         {"uniform_bound", number(summary.uniform_bound)},
                         {"uniform_bound_robust", number(summary.robust_uniform_bound.value_or(kInfinity))},
                         {"kappa_of_no_effect", number(summary.kappa_of_no_effect)},
                         {"step_bound", to_json(summary.step_bounds)},
                         {"spike_at_step", to_json(summary.spikes_at_step)},
                         {"spike_bound", ordered_json::array()},
                         {"recovery", ordered_json::array()},
                         {"recovery_horizon", kMostStepsAfterSpike}};
  for (const RatioRow& row : summary.spike_bounds)
    result["spike_bound"].push_back({{"ratio", row.ratio}, {"paper", number(row.paper)}});
  for (const RecoveryRow& row : summary.recoveries) {
    result["recovery"].push_back({{"ratio", row.ratio},
                                  {"published", to_json(row.published)},
                                  {"robust", row.robust ? to_json(*row.robust) : ordered_json(nullptr)}});
  }
  return result;
}

}  // namespace gradstab::lab
