// The paper's figures on reinforcement learning.
#include "lab/reproduce/arms.hpp"
#include "lab/reproduce/plans.hpp"
#include "lab/reproduce/presets.hpp"

namespace gradstab::lab {
namespace {

/// The six methods, robust moments and the controls. The recipe clips at 0.5, which acts on every update, so
/// that "none" is the recipe without its clip.
const std::vector<std::string_view> kArms = {"none",          "clip_half", "clip_by_value", "clip",
                                             "adaptive_clip", "zclip",     "stabilize",     "robust",
                                             "normalize",     "beta2"};

const Context kAdam = {{{"optimizer", "adam"}}, {{"optimizer", "adam"}, {"weight_decay", "0"}}};
const Context kAdamW = {{{"optimizer", "adamw"}}, {{"optimizer", "adamw"}, {"weight_decay", "0.01"}}};

Part part_of(Scale scale, const std::string& environment, const std::vector<Context>& optimizers) {
  const Context context = {{{"environment", environment}}, {}};
  return {environment, scale == Scale::paper ? "published" : "short", rl_preset(scale, environment),
          arms_named(kArms), cross({context}, optimizers)};
}

}  // namespace

Plan figure_3_plan(Scale scale) {
  Plan plan = rl_plan(scale);
  plan.parts.push_back(part_of(scale, "HalfCheetah-v4", {kAdam, kAdamW}));
  return plan;
}

Plan figure_10_plan(Scale scale) {
  Plan plan = rl_plan(scale);
  for (const char* environment : {"Ant-v4", "Hopper-v4", "Walker2d-v4"})
    plan.parts.push_back(part_of(scale, environment, {kAdamW}));
  return plan;
}

}  // namespace gradstab::lab
