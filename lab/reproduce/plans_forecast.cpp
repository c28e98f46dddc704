// The paper's figures on forecasting.
#include "lab/reproduce/arms.hpp"
#include "lab/reproduce/plans.hpp"
#include "lab/reproduce/presets.hpp"

namespace gradstab::lab {
namespace {

/// The six methods, robust moments and the two controls.
const std::vector<std::string_view> kArms = {
    "none", "clip_by_value", "clip", "adaptive_clip", "zclip", "stabilize", "robust", "normalize", "beta2"};

const Settings kAdam = {{"optimizer", "adam"}, {"weight_decay", "0"}};
const Settings kAdamW = {{"optimizer", "adamw"}, {"weight_decay", "0.01"}};

/// Noise of growing level in 5 % of the inputs; level 0 is none.
std::vector<Context> corrupted() {
  std::vector<Context> contexts;
  for (const char* level : {"0", "1", "2", "3"})
    contexts.push_back(
        {{{"corrupt_level", level}}, {{"corrupt_probability", "0.05"}, {"corrupt_level", level}}});
  return contexts;
}

Plan plan_of_parts(Scale scale, const Settings& base, const std::vector<Context>& contexts) {
  Plan plan = forecast_plan(scale);
  const std::string horizon = scale == Scale::paper ? "published" : "short";
  plan.parts.push_back({horizon, horizon, joined(forecast_preset(scale), base), arms_named(kArms), contexts});
  return plan;
}

}  // namespace

Plan figure_5_plan(Scale scale) {
  return plan_of_parts(scale, {}, {{{{"optimizer", "adam"}}, kAdam}, {{{"optimizer", "adamw"}}, kAdamW}});
}

Plan figure_6_plan(Scale scale) {
  return plan_of_parts(scale, kAdamW, corrupted());
}

Plan figure_9_plan(Scale scale) {
  return plan_of_parts(scale, kAdam, corrupted());
}

}  // namespace gradstab::lab
