// What several environments went through between two updates of the policy, and how much better than expected
// each step was.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace gradstab::lab::rl {

struct RolloutShape {
  std::int64_t steps = 0;         ///< of each environment
  std::int64_t environments = 0;  ///< side by side
  int observation_size = 0;
  int action_size = 0;
  /// Steps of all environments.
  std::int64_t samples() const noexcept { return steps * environments; }
  bool operator==(const RolloutShape&) const = default;
};

/// Sample s is step s / environments of environment s % environments. Episodes begin and end anywhere in it.
struct Rollout {
  explicit Rollout(const RolloutShape& the_shape);

  RolloutShape shape;
  std::vector<float> observations;  ///< [samples, observation_size], normalized by the moments of their time
  std::vector<float> actions;       ///< [samples, action_size], as drawn: not clipped
  std::vector<double> rewards;      ///< [samples]
  std::vector<char> terminated, truncated;  ///< [samples], 1 for yes
  /// [ends(), observation_size]: normalized observations that a sample led to and that no other sample begins
  /// with, in the order of the samples that `end_after` tells.
  std::vector<float> ends;

  /// Whether a row of `ends` belongs to sample `s`: its episode was truncated, or goes on behind the last
  /// step. What a terminated episode led to is worth nothing and is not kept.
  bool end_after(std::int64_t s) const noexcept;
  /// Rows of `ends`.
  std::int64_t end_count() const noexcept;
};

struct AdvantageRule {
  double gamma = 0.99;   ///< a reward is worth so much of one a step earlier
  double lambda = 0.95;  ///< of generalized advantage estimation
};

/// Generalized advantage estimation (Schulman et al. 2015, arXiv 1506.02438). `values` [samples] are those of
/// the observations, `end_values` [end_count()] those of the rows of `ends`. Both are in units of reward, as
/// the advantages are.
///
/// A terminated episode is worth nothing after its end. A truncated one, and one that goes on behind the last
/// step, is worth the value of what it led to. In all three cases the sum over later steps stops.
std::vector<double> advantages(const Rollout& rollout, std::span<const double> values,
                               std::span<const double> end_values, const AdvantageRule& rule);

}  // namespace gradstab::lab::rl
