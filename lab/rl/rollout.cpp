#include "lab/rl/rollout.hpp"

namespace gradstab::lab::rl {

Rollout::Rollout(const RolloutShape& the_shape)
    : shape(the_shape),
      observations(static_cast<std::size_t>(shape.samples() * shape.observation_size)),
      actions(static_cast<std::size_t>(shape.samples() * shape.action_size)),
      rewards(static_cast<std::size_t>(shape.samples())),
      terminated(static_cast<std::size_t>(shape.samples())),
      truncated(static_cast<std::size_t>(shape.samples())),
      ends(static_cast<std::size_t>(end_count() * shape.observation_size)) {}

bool Rollout::end_after(std::int64_t s) const noexcept {
  const auto i = static_cast<std::size_t>(s);
  const bool last = s >= shape.samples() - shape.environments;
  return terminated[i] == 0 && (truncated[i] != 0 || last);
}

std::int64_t Rollout::end_count() const noexcept {
  std::int64_t count = 0;
  for (std::int64_t s = 0; s < shape.samples(); ++s) count += end_after(s) ? 1 : 0;
  return count;
}

std::vector<double> advantages(const Rollout& rollout, std::span<const double> values,
                               std::span<const double> end_values, const AdvantageRule& rule) {
  const std::int64_t samples = rollout.shape.samples();
  const std::int64_t environments = rollout.shape.environments;
  std::vector<double> result(static_cast<std::size_t>(samples));
  auto end = static_cast<std::size_t>(rollout.end_count());
  for (std::int64_t s = samples - 1; s >= 0; --s) {
    const auto i = static_cast<std::size_t>(s);
    const bool at_end = rollout.end_after(s);
    const auto next = static_cast<std::size_t>(s + environments);
    double next_value = 0.0, later = 0.0;
    if (at_end) {
      next_value = end_values[--end];
    } else if (rollout.terminated[i] == 0) {
      next_value = values[next];
      later = result[next];
    }
    result[i] = rollout.rewards[i] + rule.gamma * next_value - values[i] + rule.gamma * rule.lambda * later;
  }
  return result;
}

}  // namespace gradstab::lab::rl
