// Acts in the environments side by side, and keeps what happens as a rollout.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "gradstab/status.hpp"
#include "lab/nn/counter_random.hpp"
#include "lab/rl/environments/vector_environment.hpp"
#include "lab/rl/rollout.hpp"
#include "lab/rl/running_moments.hpp"

namespace gradstab::lab::rl {

/// The mean of the actions, [rows, action size], for normalized observations, [rows, observation size].
using MeanAction = std::function<void(std::span<const float> observations, std::span<float> means)>;

/// A diagonal Gaussian over actions.
struct GaussianPolicy {
  MeanAction mean;
  std::vector<float> deviation;  ///< [action size]
};

/// Draws actions for all rows: mean + deviation * noise. Element e of row r of vector step t has number
/// (t * rows + r) * action size + e under `key`. non_finite, naming the row, for an action that is no number.
Status sample_actions(const GaussianPolicy& policy, std::span<const float> observations, std::int64_t step,
                      nn::CounterKey key, std::span<float> actions);

/// As the environment is to see them: clipped to [-1, 1].
void clip_actions(std::span<const float> actions, std::span<double> clipped);

/// The environments that are trained in, with the moments that their observations are normalized by.
///
/// Every observation that an agent or the critic sees is counted in the moments once, before it is
/// normalized: those of a reset, those that a step led to (the last one of an episode among them), and those
/// of the resets that follow an episode's end.
class Collector {
 public:
  explicit Collector(VectorEnvironment environments);

  /// Begins the first episodes.
  Status reset();
  /// Fills `rollout`, of which the shape says how many steps. Episodes go on where they were.
  Status collect(const GaussianPolicy& policy, nn::CounterKey key, Rollout& rollout);

  const VectorEnvironment& environments() const noexcept { return environments_; }
  VectorEnvironment& environments() noexcept { return environments_; }
  const RunningMoments& moments() const noexcept { return moments_; }
  RunningMoments& moments() noexcept { return moments_; }
  /// [environments, observation size]: what each agent sees now, normalized when it came.
  std::vector<float>& current() noexcept { return current_; }
  const std::vector<float>& current() const noexcept { return current_; }

 private:
  VectorEnvironment environments_;
  RunningMoments moments_;
  std::vector<float> current_;
  VectorStep outcome_;
};

}  // namespace gradstab::lab::rl
