// The weights that a model begins with, as functions of the run's seed.
#pragma once

#include <torch/torch.h>

#include <cstdint>

#include "lab/nn/counter_random.hpp"

namespace gradstab::lab::vision {

/// Draws tensors one after the other, on the CPU in float. Each number is a function of the seed, of how many
/// tensors were drawn before and of its place in the tensor: the same for any number of threads.
class InitialWeights {
 public:
  explicit InitialWeights(std::uint64_t seed) noexcept : seed_(seed) {}

  /// Mean 0. What is published as cut off at 2 in absolute value has the same distribution but for less than
  /// one number in 10^40: no deviation of these models is above 0.15.
  torch::Tensor normal(at::IntArrayRef sizes, double deviation);
  /// Between -bound and bound.
  torch::Tensor uniform(at::IntArrayRef sizes, double bound);

 private:
  nn::CounterKey next_key() noexcept;

  std::uint64_t seed_;
  std::uint64_t drawn_ = 0;
};

}  // namespace gradstab::lab::vision
