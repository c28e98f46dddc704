#include "lab/reproduce/arms.hpp"
#include "lab/reproduce/plans.hpp"
#include "lab/reproduce/presets.hpp"

namespace gradstab::lab {
namespace {

const Settings kAdamW = {{"optimizer", "adamw"}, {"weight_decay", "0.01"}};

/// The rows of the paper's tables and the two controls.
const std::vector<std::string_view> kTableArms = {"none",  "clip_by_value", "clip",      "adaptive_clip",
                                                  "zclip", "stabilize",     "normalize", "beta2"};
/// The same for the longer horizons.
const std::vector<std::string_view> kFewArms = {"none", "clip", "stabilize", "normalize", "beta2"};

const std::vector<std::string_view>& arms_of(const std::string& horizon) {
  return horizon == "long" ? kFewArms : kTableArms;
}

}  // namespace

Plan figure_1_plan(Scale scale) {
  Plan plan = llm_plan(scale);
  for (const std::string& horizon : horizons(scale)) {
    const bool also_higher = is_small(scale) && horizon == "short";
    plan.parts.push_back(
        llm_part(scale, horizon, joined(kAdamW, {{"precision", "bf16"}}),
                 arms_named({"none", "clip", "zclip", "stabilize", "robust", "normalize", "beta2"}),
                 over("lr", also_higher ? std::vector<std::string>{"0.003", "0.01"}
                                        : std::vector<std::string>{"0.003"})));
  }
  return plan;
}

Plan figure_4_plan(Scale scale) {
  Plan plan = llm_plan(scale);
  const Settings fp4 = joined(kAdamW, {{"precision", "fp4"}});
  for (const std::string& horizon : horizons(scale)) {
    std::vector<std::string> rates = {"0.0001", "0.0003", "0.001", "0.003"};
    if (is_small(scale)) rates = {"0.001", "0.003", "0.01", "0.03"};
    if (scale == Scale::gpu) rates = {"0.0001", "0.001", "0.003"};  // for the hour
    if (horizon == "long") rates = {"0.001", is_small(scale) ? "0.01" : "0.003"};
    std::vector<Arm> arms = arms_named(kFewArms);
    if (horizon == "long") std::erase_if(arms, [](const Arm& arm) { return arm.name == "clip"; });
    plan.parts.push_back(llm_part(scale, horizon, fp4, std::move(arms), over("lr", rates)));
    if (horizon == "long") continue;
    // Figure 8's other rivals, at one rate.
    plan.parts.push_back(llm_part(
        scale, horizon, fp4, arms_named({"clip_by_value", "adaptive_clip", "zclip", "spam", "stable_spam"}),
        over("lr", {is_small(scale) ? "0.01" : "0.001"})));
    plan.parts.back().name = horizon + "-rivals";
  }
  return plan;
}

Plan figure_7_plan(Scale scale) {
  Plan plan = llm_plan(scale);
  const Settings base = joined(kAdamW, {{"precision", "fp4"}, {"lr", is_small(scale) ? "0.003" : "0.001"}});
  for (const std::string& horizon : horizons(scale)) {
    const bool few = horizon == "long" || scale == Scale::smoke;
    const auto gammas = [](const std::string& gamma1, const std::string& gamma2) {
      return Context{{{"gamma1", gamma1}, {"gamma2", gamma2}}, {{"gamma1", gamma1}, {"gamma2", gamma2}}};
    };
    std::vector<Context> contexts;
    for (const char* gamma1 : {"0.4", "0.5", "0.6", "0.7", "0.8"}) {
      if (few && (std::string(gamma1) == "0.5" || std::string(gamma1) == "0.7")) continue;
      contexts.push_back(gammas(gamma1, "0.999"));
    }
    for (const char* gamma2 : {"0.95", "0.99", "0.9999", "0.99999"}) {
      if (few && (std::string(gamma2) == "0.99" || std::string(gamma2) == "0.9999")) continue;
      contexts.push_back(gammas("0.6", gamma2));
    }
    plan.parts.push_back(llm_part(scale, horizon, base, arms_named({"stabilize"}), std::move(contexts)));
    plan.parts.push_back(
        llm_part(scale, horizon, base, arms_named({"none", "clip", "normalize", "beta2"}), {Context{}}));
    plan.parts.back().name = horizon + "-others";
  }
  return plan;
}

Plan table_1_plan(Scale scale) {
  Plan plan = llm_plan(scale);
  const std::vector<Context> adam = {
      {{{"optimizer", "adam"}}, {{"optimizer", "adam"}, {"weight_decay", "0"}}}};
  const std::vector<Context> adamw = {{{{"optimizer", "adamw"}}, kAdamW}};
  std::vector<Context> both = adam;
  both.insert(both.end(), adamw.begin(), adamw.end());
  for (const std::string& horizon : horizons(scale)) {
    plan.parts.push_back(
        llm_part(scale, horizon, {{"lr", is_small(scale) ? "0.003" : "0.001"}}, arms_named(arms_of(horizon)),
                 cross(horizon == "long" ? adamw : both, over("precision", {"fp16", "fp4"}))));
  }
  return plan;
}

Plan table_4_plan(Scale scale) {
  Plan plan = llm_plan(scale);
  const std::string rate = is_small(scale) ? "0.003" : "0.001";
  // Lion wants a third to a tenth of Adam's learning rate (arXiv 2302.06675, section 5).
  const std::vector<Context> optimizers = {
      {{{"optimizer", "adam_mini"}}, {{"optimizer", "adam_mini"}, {"lr", rate}}},
      {{{"optimizer", "lion"}},
       {{"optimizer", "lion"}, {"beta2", "0.99"}, {"lr", is_small(scale) ? "0.0005" : "0.0001"}}}};
  for (const std::string& horizon : horizons(scale)) {
    plan.parts.push_back(
        llm_part(scale, horizon, {{"precision", "fp4"}}, arms_named(arms_of(horizon)), optimizers));
  }
  return plan;
}

}  // namespace gradstab::lab
