// The networks of PPO: an actor and a critic, which share nothing.
#pragma once

#include <torch/torch.h>

#include <array>
#include <cstdint>
#include <vector>

namespace gradstab::lab::rl {

struct ActorCriticShape {
  std::int64_t observation_size = 0, action_size = 0;
  std::int64_t width = 64;  ///< of both hidden layers
};

/// Linear, tanh, linear, tanh, linear. Weights are [outputs, inputs].
struct Mlp {
  std::array<torch::Tensor, 3> weights, biases;
  /// [rows, outputs] of x [rows, inputs].
  torch::Tensor forward(const torch::Tensor& x) const;
};

/// A Gaussian policy with a deviation for each action that does not depend on the observation, and an
/// estimate of the return. The mean is not bounded.
///
/// Parameters: "actor.{0,2,4}.{weight,bias}", "log_std" [actions], "critic.{0,2,4}.{weight,bias}".
class ActorCriticImpl : public torch::nn::Module {
 public:
  /// Weights are orthogonal with gain sqrt(2), those of the last layer of the actor a hundredth of that;
  /// biases are 0, and log_std is -0.5. Every number is a function of the seed.
  ActorCriticImpl(const ActorCriticShape& shape, std::uint64_t seed);

  const Mlp& actor() const noexcept { return actor_; }
  const Mlp& critic() const noexcept { return critic_; }
  const torch::Tensor& log_std() const noexcept { return log_std_; }
  /// Those of the actor layer by layer, weight before bias; log_std; those of the critic.
  std::vector<torch::Tensor> ordered_parameters() const;
  std::int64_t parameter_count() const;

 private:
  Mlp actor_, critic_;
  torch::Tensor log_std_;
};
TORCH_MODULE(ActorCritic);

/// A matrix [rows, columns] whose shorter side's vectors are orthonormal, times `gain`: Gaussian draws of a
/// key, made orthogonal by Gram and Schmidt's method, which is the QR decomposition with a positive diagonal.
torch::Tensor orthogonal(std::int64_t rows, std::int64_t columns, double gain, std::uint64_t seed,
                         std::uint64_t place);

}  // namespace gradstab::lab::rl
