#include "lab/rl/view/policy_episode.hpp"

#include <vector>

namespace gradstab::lab::rl {

Result<EpisodeSummary> run_episode(Environment& environment, const Policy& policy,
                                   const PolicyEpisode& episode, const EpisodeWatcher& watch) {
  const EnvironmentInfo& info = environment.info();
  GRADSTAB_RETURN_IF_ERROR(policy.check(info));
  GRADSTAB_RETURN_IF_ERROR(environment.reset(episode.key));
  std::vector<double> observation(static_cast<std::size_t>(info.observation_size));
  std::vector<double> action(static_cast<std::size_t>(info.action_size));
  EpisodeSummary summary;
  if (watch) GRADSTAB_RETURN_IF_ERROR(watch(0));
  while (true) {
    environment.observe(observation);
    if (episode.sample)
      policy.sample(observation, episode.key, summary.steps, action);
    else
      policy.act(observation, action);
    const auto outcome = environment.step(action);
    if (!outcome) return outcome.status();
    summary.episode_return += outcome->reward;
    ++summary.steps;
    if (watch) GRADSTAB_RETURN_IF_ERROR(watch(summary.steps));
    if (!outcome->ended()) continue;
    summary.terminated = outcome->terminated;
    return summary;
  }
}

}  // namespace gradstab::lab::rl
