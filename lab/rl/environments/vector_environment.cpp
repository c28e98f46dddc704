#include "lab/rl/environments/vector_environment.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "lab/rl/environments/thread_team.hpp"
#include "lab/support/byte_reader.hpp"

namespace gradstab::lab::rl {

struct VectorEnvironment::Parts {
  Parts(std::unique_ptr<Environment> first, int count, std::uint64_t the_seed, int threads)
      : seed(the_seed), team(std::min(threads, count)) {
    environments.push_back(std::move(first));
    while (static_cast<int>(environments.size()) < count)
      environments.push_back(environments.front()->another());
    const EnvironmentInfo& info = environments.front()->info();
    observation_size = static_cast<std::size_t>(info.observation_size);
    action_size = static_cast<std::size_t>(info.action_size);
    observations.resize(environments.size() * observation_size);
    statuses.resize(environments.size());
    returns.resize(environments.size());
    lengths.resize(environments.size());
    episodes.resize(environments.size());
  }

  std::span<double> row(std::vector<double>& rows, std::size_t index) const {
    return std::span(rows).subspan(index * observation_size, observation_size);
  }

  /// Calls work(i) for each environment in the team; the first error, by number and not by time.
  template <class Work>
  Status for_each(Work work) {
    team.run(static_cast<int>(environments.size()), [&](int index) {
      const auto i = static_cast<std::size_t>(index);
      statuses[i] = work(i);
    });
    for (std::size_t i = 0; i < statuses.size(); ++i) {
      if (!statuses[i].ok())
        return {statuses[i].code(), fmt::format("environment {}: {}", i, statuses[i].message())};
    }
    return {};
  }

  Status begin(std::size_t i, std::uint64_t episode) {
    episodes[i] = episode;
    returns[i] = 0.0;
    lengths[i] = 0;
    GRADSTAB_RETURN_IF_ERROR(environments[i]->reset({seed, i, episode}));
    environments[i]->observe(row(observations, i));
    return {};
  }

  Status step_one(std::size_t i, std::span<const double> action, VectorStep& outcome) {
    Environment& environment = *environments[i];
    const auto step = environment.step(action);
    if (!step) return step.status();
    returns[i] += step->reward;
    ++lengths[i];
    outcome.rewards[i] = step->reward;
    outcome.terminated[i] = step->terminated ? 1 : 0;
    outcome.truncated[i] = step->truncated ? 1 : 0;
    const std::span<double> seen = row(outcome.next_observations, i);
    environment.observe(seen);
    if (!step->ended()) std::ranges::copy(seen, row(observations, i).begin());
    return {};
  }

  std::uint64_t seed;
  std::size_t observation_size = 0, action_size = 0;
  std::vector<std::unique_ptr<Environment>> environments;
  std::vector<double> observations;
  std::vector<Status> statuses;
  // Of the episode that is going on in each.
  std::vector<double> returns;
  std::vector<std::int64_t> lengths;
  std::vector<std::uint64_t> episodes;
  ThreadTeam team;
};

VectorEnvironment::VectorEnvironment(std::unique_ptr<Environment> first, int count, std::uint64_t seed,
                                     int threads)
    : parts_(std::make_unique<Parts>(std::move(first), std::max(count, 1), seed, std::max(threads, 1))) {}
VectorEnvironment::~VectorEnvironment() = default;
VectorEnvironment::VectorEnvironment(VectorEnvironment&&) noexcept = default;
VectorEnvironment& VectorEnvironment::operator=(VectorEnvironment&&) noexcept = default;

const EnvironmentInfo& VectorEnvironment::info() const noexcept {
  return parts_->environments.front()->info();
}

int VectorEnvironment::count() const noexcept {
  return static_cast<int>(parts_->environments.size());
}

std::span<const double> VectorEnvironment::observations() const noexcept {
  return parts_->observations;
}

Status VectorEnvironment::reset() {
  return parts_->for_each([&](std::size_t i) { return parts_->begin(i, 0); });
}

Status VectorEnvironment::step(std::span<const double> actions, VectorStep& outcome) {
  Parts& parts = *parts_;
  const std::size_t count = parts.environments.size();
  if (actions.size() != count * parts.action_size) {
    return {StatusCode::shape_mismatch, fmt::format("{} environments need actions of {} numbers, got {}",
                                                    count, count * parts.action_size, actions.size())};
  }
  outcome.rewards.resize(count);
  outcome.terminated.resize(count);
  outcome.truncated.resize(count);
  outcome.next_observations.resize(count * parts.observation_size);
  outcome.finished.clear();
  std::vector<FinishedEpisode> ended(count);
  const Status stepped = parts.for_each([&](std::size_t i) -> Status {
    GRADSTAB_RETURN_IF_ERROR(
        parts.step_one(i, actions.subspan(i * parts.action_size, parts.action_size), outcome));
    if (outcome.terminated[i] == 0 && outcome.truncated[i] == 0) return {};
    ended[i] = {static_cast<int>(i), parts.returns[i], parts.lengths[i], outcome.terminated[i] != 0};
    return parts.begin(i, parts.episodes[i] + 1);
  });
  if (!stepped.ok()) return stepped;
  std::ranges::copy_if(ended, std::back_inserter(outcome.finished),
                       [](const FinishedEpisode& episode) { return episode.length > 0; });
  return {};
}

std::vector<EnvironmentState> VectorEnvironment::save() const {
  std::vector<EnvironmentState> states;
  for (const auto& environment : parts_->environments) states.push_back(environment->save());
  return states;
}

Status VectorEnvironment::restore(std::span<const EnvironmentState> states) {
  Parts& parts = *parts_;
  if (states.size() != parts.environments.size()) {
    return {StatusCode::shape_mismatch, fmt::format("the saved state is of {} environments, expected {}",
                                                    states.size(), parts.environments.size())};
  }
  for (std::size_t i = 0; i < states.size(); ++i) {
    GRADSTAB_RETURN_IF_ERROR(parts.environments[i]->restore(states[i]));
    parts.returns[i] = states[i].episode_return;
    parts.lengths[i] = states[i].steps;
    parts.episodes[i] = states[i].key.episode;
    parts.environments[i]->observe(parts.row(parts.observations, i));
  }
  return {};
}

std::string VectorEnvironment::save_bytes() const {
  std::string bytes;
  for (const EnvironmentState& state : save()) {
    const std::string one = encode_state(state);
    const std::uint64_t size = one.size();
    bytes.append(reinterpret_cast<const char*>(&size), sizeof size);
    bytes += one;
  }
  return bytes;
}

Status VectorEnvironment::restore_bytes(std::string_view bytes) {
  std::vector<EnvironmentState> states;
  for (ByteReader reader(bytes); reader.left() > 0;) {
    const std::string_view one = reader.block();
    if (!reader.ok()) return {StatusCode::corrupt_data, "the state of the environments is cut off"};
    auto state = decode_state(one);
    if (!state) return state.status();
    states.push_back(std::move(*state));
  }
  return restore(states);
}

}  // namespace gradstab::lab::rl
