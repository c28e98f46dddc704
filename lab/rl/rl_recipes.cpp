#include "lab/rl/rl_recipes.hpp"

namespace gradstab::lab::rl {
namespace {

/// What the recipes have in common. The learning rate falls in a straight line to 0 and is constant within a
/// collect.
SettingTexts ppo() {
  return {{"gamma", "0.99"},
          {"lambda", "0.95"},
          {"ratio_clip", "0.2"},
          {"value_coefficient", "0.25"},
          {"entropy_coefficient", "0"},
          {"optimizer", "adam"},
          {"weight_decay", "0"},
          {"lr", "0.0003"},
          {"schedule", "linear"},
          {"min_lr_ratio", "0"},
          {"lr_per_epoch", "true"},
          {"warmup", "0"},
          {"batch", "64"},
          {"passes", "10"}};
}

/// Eight environments of 256 steps, and a value clip.
SettingTexts script() {
  return joined(
      ppo(),
      {{"environments", "8"}, {"horizon", "256"}, {"value_clip", "0.2"}, {"evaluation_episodes", "10"}});
}

/// A line of metrics for every so many updates: runs have a hundred thousand. No divisor of a pass, so that
/// lines come from all places of passes.
const SettingTexts kMetrics = {{"metrics_every", "33"}};

/// Three million environment steps, rounded up to whole collects between two evaluations: 100 of 15 each, of
/// 320 updates.
SettingTexts script_length() {
  return joined({{"epochs", "1500"}, {"eval_every", "4800"}, {"checkpoint_every", "4800"}}, kMetrics);
}

/// The gradient clip of both published settings.
const SettingTexts kClip = {{"transform", "clip_by_global_norm(max_norm=0.5)"}};

}  // namespace

std::vector<Recipe> rl_recipes() {
  return {
      {"smoke", "a few updates, which show only that it works",
       joined(script(), {{"environments", "2"},
                         {"horizon", "32"},
                         {"passes", "2"},
                         {"width", "16"},
                         {"batch", "32"},
                         {"evaluation_episodes", "2"},
                         {"steps", "8"},
                         {"eval_every", "4"},
                         {"checkpoint_every", "4"}})},
      {"cpu", "737,280 environment steps: about a minute of one core for HalfCheetah",
       joined(joined(script(), {{"epochs", "360"}, {"eval_every", "12800"}, {"checkpoint_every", "3200"}}),
              kMetrics)},
      {"gpu", "the published length; it trains on the CPU", joined(script(), script_length())},
      {"published", "as script, but without its clip of the gradients", joined(script(), script_length())},
      {"script", "PPO as the published script has it today: 3 million environment steps",
       joined(joined(script(), script_length()), kClip)},
      {"benchmark", "as the published returns were made: 64 environments, no value clip",
       joined(joined(joined(ppo(), {{"environments", "64"},
                                    {"horizon", "32"},
                                    {"value_clip", "0"},
                                    {"evaluation_episodes", "10"}}),
                     script_length()),
              kClip)}};
}

}  // namespace gradstab::lab::rl
