// The settings of the reinforcement-learning task. No torch.
#pragma once

#include <concepts>
#include <cstdint>
#include <string>
#include <type_traits>

#include "gradstab/status.hpp"
#include "lab/rl/rollout.hpp"
#include "lab/train/train_options.hpp"

namespace gradstab::lab::rl {

/// What PPO and its environments are, beside what every run has. The numbers are those of the script that the
/// paper's code base has for MuJoCo.
struct RlSettings {
  std::string environment = "HalfCheetah-v4";
  std::int64_t environments = 8;
  std::int64_t horizon = 256;
  std::int64_t passes = 10;
  std::int64_t width = 64;

  double gamma = 0.99;
  double lambda = 0.95;
  double ratio_clip = 0.2;
  double value_clip = 0.2;
  double value_coefficient = 0.25;
  double entropy_coefficient = 0.0;

  std::int64_t evaluation_episodes = 10;
};

/// Calls visit(name, field, help) for each of them, in the order of the help text.
template <class Settings, class Visit>
requires std::same_as<std::remove_const_t<Settings>, RlSettings>
void visit_settings(Settings& settings, Visit visit) {
  visit("environment", settings.environment, "HalfCheetah-v4, Ant-v4, Hopper-v4 or Walker2d-v4");
  visit("environments", settings.environments, "number of environments that step side by side");
  visit("horizon", settings.horizon, "steps of each environment from one collect to the next");
  visit("passes", settings.passes, "passes over each collect, before it is discarded");
  visit("width", settings.width, "features of each of the two hidden layers of actor and critic");
  visit("gamma", settings.gamma, "discount factor: the worth of a reward relative to one a step earlier");
  visit("lambda", settings.lambda, "decay of generalized advantage estimation");
  visit("ratio_clip", settings.ratio_clip,
        "PPO's clip: beyond this fraction, a further change of an action's probability gains nothing");
  visit("value_clip", settings.value_clip,
        "the same for the critic's values, in standard deviations of the return; 0: no clip");
  visit("value_coefficient", settings.value_coefficient, "weight of the critic's loss");
  visit("entropy_coefficient", settings.entropy_coefficient, "weight of the bonus for entropy");
  visit("evaluation_episodes", settings.evaluation_episodes,
        "episodes of an evaluation, with sampled actions");
}

/// Those of a run of this task. Throws std::bad_cast for another task's.
const RlSettings& rl_settings(const TrainOptions& options);

/// Environment steps of a collect.
std::int64_t samples_per_collect(const RlSettings& settings) noexcept;
/// Updates of a pass, each of a minibatch of batch times accumulation samples, and of all passes over one
/// collect: an epoch of the trainer.
std::int64_t updates_per_pass(const TrainOptions& options);
std::int64_t updates_per_collect(const TrainOptions& options);

AdvantageRule advantage_rule(const RlSettings& settings) noexcept;

/// Of options whose other settings are valid. Errors name the setting, its value and what was expected.
Status validate_rl(const TrainOptions& options);

}  // namespace gradstab::lab::rl
