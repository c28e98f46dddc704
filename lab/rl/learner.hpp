// What PPO learns from: a rollout, and what the critic thinks of it at the beginning of each pass.
#pragma once

#include <torch/torch.h>

#include <cstdint>
#include <optional>
#include <vector>

#include "gradstab/status.hpp"
#include "lab/rl/actor_critic.hpp"
#include "lab/rl/ppo_loss.hpp"
#include "lab/rl/rollout.hpp"
#include "lab/rl/running_moments.hpp"
#include "lab/train/task_state.hpp"

namespace gradstab::lab::rl {

/// The critic learns returns divided by their running deviation sqrt(variance + 1e-8), not centred. Before
/// each pass values, advantages and targets are computed with the networks of that moment and the deviation
/// of that moment; then the moments take the returns of all samples in. Advantages stay in units of reward.
class Learner {
 public:
  /// `batch` divides the samples.
  Learner(const RolloutShape& shape, const AdvantageRule& rule, std::int64_t batch);

  const Rollout& rollout() const noexcept { return rollout_; }
  /// To be filled; then begin_collect is due.
  Rollout& rollout() noexcept { return rollout_; }

  /// Keeps the densities of the actions under the policy that drew them, which all passes compare with.
  void begin_collect(const ActorCritic& model);
  void begin_pass(const ActorCritic& model);
  /// Minibatch `number` of a pass, whose order `key` chooses. Valid until the next call.
  Minibatch minibatch(std::uint64_t key, std::int64_t number);

  std::int64_t minibatches() const noexcept { return rollout_.shape.samples() / batch_; }
  /// Of unscaled returns.
  const RunningMoments& return_moments() const noexcept { return return_moments_; }
  /// What the networks are trained towards in this pass, [samples] each, in the order of the rollout.
  const torch::Tensor& advantages() const noexcept { return advantages_; }
  const torch::Tensor& targets() const noexcept { return targets_; }
  const torch::Tensor& values() const noexcept { return values_; }

  Status save(StateWriter& state) const;
  Status load(StateReader& state);

 private:
  Minibatch whole();
  void put_in_order(std::uint64_t key);

  Rollout rollout_;
  AdvantageRule rule_;
  std::int64_t batch_;
  RunningMoments return_moments_{1};
  torch::Tensor log_densities_, advantages_, targets_, values_;  // [samples], f32
  std::optional<std::uint64_t> order_;                           // of `ordered_`
  Minibatch ordered_;
};

/// A tensor over memory that the vector keeps.
torch::Tensor as_tensor(std::vector<float>& numbers, at::IntArrayRef sizes);
torch::Tensor as_tensor(std::vector<double>& numbers);
/// To be read only.
torch::Tensor as_tensor(const std::vector<float>& numbers, at::IntArrayRef sizes);
torch::Tensor as_tensor(const std::vector<double>& numbers);

}  // namespace gradstab::lab::rl
