// An environment of the tests: a point on a line that actions push, and that begins far away from where it
// ends.
#pragma once

#include <algorithm>
#include <cmath>
#include <memory>
#include <utility>

#include "lab/rl/environments/environment.hpp"
#include "lab/support/hashing.hpp"

namespace gradstab::lab::rl {

struct LineRules {
  std::int64_t time_limit = 7;
  double start = 1000.0;  ///< episodes begin here, and a little beside it by their key
  double jump = -995.0;   ///< added by the first step
  double far = 1e9;       ///< beyond this from 0 the episode is terminated, once it has jumped
};

/// Observations: the place, and the steps so far. A step adds the action's first number to the place; its
/// reward is
/// -|place - second number of the action| / 10. Starts differ by less than 1.
class LineEnvironment final : public Environment {
 public:
  explicit LineEnvironment(const LineRules& rules = {}) : rules_(rules) {
    info_ = {"Line-v0", 2, 2, rules.time_limit, 0.1};
  }

  const EnvironmentInfo& info() const noexcept override { return info_; }
  std::unique_ptr<Environment> another() const override { return std::make_unique<LineEnvironment>(rules_); }

  Status reset(const EpisodeKey& key) override {
    const std::uint64_t hash = mix64(mix64(mix64(key.seed) ^ key.environment) ^ key.episode);
    state_ = {};
    state_.key = key;
    state_.position = {rules_.start + static_cast<double>(hash >> 40U) / 16777216.0};
    return {};
  }
  Result<StepOutcome> step(std::span<const double> action) override {
    double& place = state_.position[0];
    if (state_.steps == 0) place += rules_.jump;
    place += action[0];
    StepOutcome outcome;
    outcome.reward = -std::abs(place - action[1]) / 10.0;
    state_.steps += 1;
    state_.episode_return += outcome.reward;
    outcome.terminated = std::abs(place) > rules_.far;
    outcome.truncated = !outcome.terminated && state_.steps >= rules_.time_limit;
    return outcome;
  }
  void observe(std::span<double> observation) const override {
    observation[0] = state_.position[0];
    observation[1] = static_cast<double>(state_.steps);
  }
  EnvironmentState save() const override { return state_; }
  Status restore(const EnvironmentState& state) override {
    if (state.position.size() != 1)
      return {StatusCode::shape_mismatch, "a point on a line has one coordinate"};
    state_ = state;
    return {};
  }
  std::span<const Shape> shapes() const noexcept override { return {}; }
  void poses(std::span<ShapePose>) const override {}
  bool planar() const noexcept override { return true; }

 private:
  LineRules rules_;
  EnvironmentInfo info_;
  EnvironmentState state_;
};

}  // namespace gradstab::lab::rl
