// What PPO minimizes on a minibatch, as one autograd node.
//
// Composed of PyTorch's operations the loss is some sixty of them and as many in backward, each on a few
// thousand numbers: nine tenths of the time would be their overhead. Here the products of matrices and tanh
// are PyTorch's, and everything between them are loops; the gradients are computed along with the loss. The
// composition is in the namespace `composed`, which is what the tests compare the node with.
#pragma once

#include <torch/torch.h>

#include "lab/rl/actor_critic.hpp"

namespace gradstab::lab::rl {

/// Samples that were drawn from a rollout. f32 or f64, as the networks are.
struct Minibatch {
  torch::Tensor observations;   ///< [samples, observation size], normalized
  torch::Tensor actions;        ///< [samples, action size], as drawn
  torch::Tensor log_densities;  ///< [samples], of these actions under the policy that drew them
  torch::Tensor advantages;     ///< [samples], in units of reward
  torch::Tensor targets;        ///< [samples], of the critic, in its units
  torch::Tensor values;         ///< [samples], of the critic at the beginning of this pass
};

struct PpoRule {
  double ratio_clip = 0.2;
  double value_clip = 0.2;  ///< 0: none
  double value_coefficient = 0.25;
  double entropy_coefficient = 0.0;
};

/// -mean(min(r A, clip(r, 1 - c, 1 + c) A)) + value_coefficient mean(max((T - V)^2, (T - Vc)^2)) -
/// entropy_coefficient H, where r is the density of the action over the one it was drawn with, A the
/// advantage, T the target, V the critic's value, Vc that value kept within value_clip of `values`, and H the
/// policy's entropy (Schulman et al. 2017, arXiv 1707.06347). First derivatives only.
torch::Tensor ppo_loss(const ActorCritic& model, const Minibatch& batch, const PpoRule& rule);

/// [rows], the logarithm of the density of each action, under means [rows, action size]. Without a graph.
torch::Tensor log_densities(const torch::Tensor& means, const torch::Tensor& log_std,
                            const torch::Tensor& actions);

namespace composed {
torch::Tensor ppo_loss(const ActorCritic& model, const Minibatch& batch, const PpoRule& rule);
}  // namespace composed

}  // namespace gradstab::lab::rl
