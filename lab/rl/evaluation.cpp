#include "lab/rl/evaluation.hpp"

#include <cmath>

#include "lab/nn/counter_random.hpp"

namespace gradstab::lab::rl {

Result<EpisodeStatistics> run_episodes(VectorEnvironment& environments, const ActInAll& act) {
  if (const Status begun = environments.reset(); !begun.ok()) return begun;
  const auto count = static_cast<std::size_t>(environments.count());
  std::vector<double> actions(count * static_cast<std::size_t>(environments.info().action_size));
  std::vector<double> returns(count);
  std::vector<char> done(count);
  VectorStep outcome;
  EpisodeStatistics found;
  std::size_t left = count;
  for (std::int64_t step = 0; left > 0; ++step) {
    if (const Status acted = act(step, environments.observations(), actions); !acted.ok()) return acted;
    if (const Status stepped = environments.step(actions, outcome); !stepped.ok()) return stepped;
    for (const FinishedEpisode& episode : outcome.finished) {
      const auto e = static_cast<std::size_t>(episode.environment);
      if (done[e] != 0) continue;  // a later one, while others are still in their first
      done[e] = 1;
      --left;
      returns[e] = episode.episode_return;
      found.mean_length += static_cast<double>(episode.length) / static_cast<double>(count);
    }
  }
  for (const double value : returns) found.mean_return += value / static_cast<double>(count);
  double squares = 0.0;
  for (const double value : returns) squares += (value - found.mean_return) * (value - found.mean_return);
  found.deviation = std::sqrt(squares / static_cast<double>(count));
  return found;
}

ActInAll random_actions(std::uint64_t seed) {
  return [key = nn::Draw{seed, 0}.key(0)](std::int64_t step, std::span<const double>,
                                          std::span<double> actions) {
    const auto first = static_cast<std::uint64_t>(step) * actions.size();
    for (std::size_t i = 0; i < actions.size(); ++i)
      actions[i] = 2.0 * nn::counter_uniform(first + i, key) - 1.0;
    return Status();
  };
}

}  // namespace gradstab::lab::rl
