#include "lab/inspect/tensors.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <tuple>

#include "lab/inspect/holding.hpp"

namespace gradstab::lab::inspect {
namespace {

constexpr double kDecay = 0.95;

/// Whether the rule makes less than half of the usual length of one more norm.
bool holds(const StabilizerOptions& options, NormMoments& moments, double norm) {
  return decide(options, bias_correction_at(options, moments.step + 1), moments, norm).stabilized_norm <
         kHeldBelow;
}

}  // namespace

void TensorWatch::add(const TraceRecord& record) {
  largest_ = record.largest_tensor;
  step_ = record.step;
  for (const auto& [tensor, norm] : record.tensors) {
    if (tensor >= states_.size()) states_.resize(tensor + 1);
    State& state = states_[tensor];
    const bool known = state.norms >= static_cast<std::int64_t>(kFewestNorms) && state.mean > 0.0;
    state.ratio = known ? norm / state.mean : 1.0;
    // NaN has risen as well.
    const bool above = known && !(state.ratio <= kSpikeRatio);
    if (!above)
      state.rose = -1;
    else if (state.rose < 0)
      state.rose = records_, state.rose_step = record.step;
    if (!std::isfinite(norm) || norm <= 0.0) continue;
    // A spike moves the mean no further than to where spikes begin.
    const double entering = known ? std::min(norm, kSpikeRatio * state.mean) : norm;
    ++state.norms;
    state.held_published += holds(published_, state.published, norm) ? 1 : 0;
    state.held_robust += holds(robust_, state.robust, norm) ? 1 : 0;
    const double weight = std::max(1.0 - kDecay, 1.0 / static_cast<double>(state.norms));
    state.mean += weight * (entering - state.mean);
  }
  ++records_;
}

std::vector<MovedTensor> TensorWatch::moved(const TraceFacts& facts) const {
  if (states_.empty()) {
    if (largest_.empty()) return {};
    return {{largest_, step_, std::numeric_limits<double>::quiet_NaN()}};
  }
  std::vector<std::size_t> risen;
  for (std::size_t i = 0; i < states_.size() && i < facts.tensors.size(); ++i)
    if (states_[i].rose >= 0) risen.push_back(i);
  std::ranges::sort(risen, {}, [&](std::size_t i) {
    const double ratio = states_[i].ratio;
    return std::tuple(states_[i].rose, std::isnan(ratio) ? -HUGE_VAL : -ratio, i);
  });
  if (risen.size() > kMostTensors) risen.resize(kMostTensors);
  std::vector<MovedTensor> moved;
  moved.reserve(risen.size());
  for (const std::size_t i : risen)
    moved.push_back({facts.tensors[i], states_[i].rose_step, states_[i].ratio});
  return moved;
}

TensorHolding TensorWatch::holding(const TraceFacts& facts) const {
  TensorHolding holding;
  for (std::size_t i = 0; i < states_.size() && i < facts.tensors.size(); ++i) {
    const State& state = states_[i];
    holding.norms += state.norms;
    holding.held_published += state.held_published;
    holding.held_robust += state.held_robust;
    const double share =
        state.norms == 0 ? 0.0 : static_cast<double>(state.held_published) / static_cast<double>(state.norms);
    if (share <= holding.most_held_share) continue;
    holding.most_held_share = share;
    holding.most_held = facts.tensors[i];
  }
  return holding;
}

}  // namespace gradstab::lab::inspect
