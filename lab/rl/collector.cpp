#include "lab/rl/collector.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

namespace gradstab::lab::rl {

Status sample_actions(const GaussianPolicy& policy, std::span<const float> observations, std::int64_t step,
                      nn::CounterKey key, std::span<float> actions) {
  policy.mean(observations, actions);
  const auto first = static_cast<std::uint64_t>(step) * actions.size();
  for (std::size_t i = 0; i < actions.size(); ++i) {
    const std::size_t element = i % policy.deviation.size();
    const auto noise = static_cast<float>(nn::counter_normal(first + i, key));
    actions[i] += policy.deviation[element] * noise;
    if (!std::isfinite(actions[i]))
      return {
          StatusCode::non_finite,
          fmt::format("the policy's action {} for environment {} is {}, not a finite number: training has "
                      "diverged",
                      element, i / policy.deviation.size(), actions[i])};
  }
  return {};
}

void clip_actions(std::span<const float> actions, std::span<double> clipped) {
  for (std::size_t i = 0; i < actions.size(); ++i)
    clipped[i] = std::clamp(static_cast<double>(actions[i]), -1.0, 1.0);
}

Collector::Collector(VectorEnvironment environments)
    : environments_(std::move(environments)),
      moments_(static_cast<std::size_t>(environments_.info().observation_size)),
      current_(static_cast<std::size_t>(environments_.count() * environments_.info().observation_size)) {}

Status Collector::reset() {
  GRADSTAB_RETURN_IF_ERROR(environments_.reset());
  moments_.merge(environments_.observations());
  normalize(moments_, environments_.observations(), current_);
  return {};
}

Status Collector::collect(const GaussianPolicy& policy, nn::CounterKey key, Rollout& rollout) {
  const auto size = static_cast<std::size_t>(environments_.info().observation_size);
  const auto count = static_cast<std::size_t>(environments_.count());
  const std::size_t action_numbers = count * static_cast<std::size_t>(rollout.shape.action_size);
  std::vector<double> clipped(action_numbers), begun;
  rollout.ends.clear();
  for (std::int64_t step = 0; step < rollout.shape.steps; ++step) {
    const std::size_t first = static_cast<std::size_t>(step) * count;
    std::ranges::copy(current_, rollout.observations.begin() + static_cast<std::ptrdiff_t>(first * size));
    const std::span<float> actions(rollout.actions.data() + static_cast<std::size_t>(step) * action_numbers,
                                   action_numbers);
    GRADSTAB_RETURN_IF_ERROR(sample_actions(policy, current_, step, key, actions));
    clip_actions(actions, clipped);
    GRADSTAB_RETURN_IF_ERROR(environments_.step(clipped, outcome_));

    moments_.merge(outcome_.next_observations);
    normalize(moments_, outcome_.next_observations, current_);
    begun.clear();
    for (std::size_t e = 0; e < count; ++e) {
      rollout.rewards[first + e] = outcome_.rewards[e];
      rollout.terminated[first + e] = outcome_.terminated[e];
      rollout.truncated[first + e] = outcome_.truncated[e];
      if (rollout.end_after(static_cast<std::int64_t>(first + e))) {
        const auto row = current_.begin() + static_cast<std::ptrdiff_t>(e * size);
        rollout.ends.insert(rollout.ends.end(), row, row + static_cast<std::ptrdiff_t>(size));
      }
      if (outcome_.terminated[e] == 0 && outcome_.truncated[e] == 0) continue;
      const auto seen = environments_.observations().subspan(e * size, size);
      begun.insert(begun.end(), seen.begin(), seen.end());
    }
    if (begun.empty()) continue;
    moments_.merge(begun);
    for (std::size_t e = 0; e < count; ++e) {
      if (outcome_.terminated[e] == 0 && outcome_.truncated[e] == 0) continue;
      normalize(moments_, environments_.observations().subspan(e * size, size),
                std::span(current_).subspan(e * size, size));
    }
  }
  return {};
}

}  // namespace gradstab::lab::rl
