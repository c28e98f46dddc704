#include "lab/reproduce/arms.hpp"
#include "lab/reproduce/plans.hpp"
#include "lab/reproduce/presets.hpp"

namespace gradstab::lab {
namespace {

/// The same runs without the disturbance and with it.
std::vector<Context> without_and_with(const std::string& key,
                                      const std::vector<std::pair<std::string, std::string>>& disturbances) {
  std::vector<Context> contexts = {{{{key, "no"}}, {{"inject_spikes", ""}}}};
  for (const auto& [name, setting] : disturbances)
    contexts.push_back({{{key, name}}, {{"inject_spikes", setting}}});
  return contexts;
}

}  // namespace

Plan spike_injection_plan(Scale scale) {
  Plan plan = llm_plan(scale);
  for (const std::string& horizon : horizons(scale)) {
    plan.parts.push_back(llm_part(
        scale, horizon, {{"optimizer", "adamw"}, {"lr", "0.003"}},
        horizon == "long" ? arms_named({"none", "clip", "zclip", "stabilize", "robust", "normalize", "beta2"})
                          : arms_named({"none", "clip_by_value", "clip", "adaptive_clip", "zclip", "adagc",
                                        "spam", "stable_spam", "stabilize", "robust", "normalize", "beta2"}),
        without_and_with("spikes", {{"1in100", "random:0.01:1000"}})));
  }
  return plan;
}

Plan freeze_plan(Scale scale) {
  Plan plan = llm_plan(scale);
  for (const std::string& horizon : horizons(scale)) {
    const std::string at = scale == Scale::smoke ? "3:" : "100:";
    std::vector<std::pair<std::string, std::string>> spikes;
    for (const char* size : {"10", "100", "1000"}) {
      if (scale == Scale::gpu && std::string(size) == "100") continue;  // for the hour
      spikes.emplace_back(size, at + size);
    }
    if (horizon == "long") spikes.erase(spikes.begin(), spikes.end() - 1);
    const auto behind = [&](const std::string& optimizer, const std::string& lr) {
      const Context context{{{"optimizer", optimizer}}, {{"optimizer", optimizer}, {"lr", lr}}};
      return cross({context}, without_and_with("spike", spikes));
    };
    plan.parts.push_back(llm_part(scale, horizon, {},
                                  arms_named({"none", "stabilize", "robust", "normalize", "beta2"}),
                                  behind("adamw", "0.003")));
    // SGD has no beta2.
    plan.parts.push_back(llm_part(
        scale, horizon, {}, arms_named({"none", "stabilize", "robust", "normalize"}), behind("sgd", "0.1")));
    plan.parts.back().name = horizon + "-sgd";
  }
  return plan;
}

Plan instability_plan(Scale scale) {
  Plan plan = llm_plan(scale);
  const Settings high_rate = {{"lr", "0.03"}};
  const std::string depth = is_small(scale) ? "10" : "16";
  const auto regime = [](const std::string& name, const Settings& settings) {
    return Context{{{"regime", name}}, settings};
  };
  const Context calm = regime("calm", {{"lr", is_small(scale) ? "0.003" : "0.001"}});
  const Context no_warmup = regime("rate+warmup", joined(high_rate, {{"warmup", "0"}}));
  for (const std::string& horizon : horizons(scale)) {
    std::vector<Context> regimes = {calm, regime("rate", high_rate), no_warmup,
                                    regime("rate+fp4", joined(high_rate, {{"precision", "fp4"}})),
                                    regime("rate+depth", joined(high_rate, {{"layers", depth}}))};
    if (horizon == "long") regimes = {calm, no_warmup};
    plan.parts.push_back(llm_part(scale, horizon, {{"optimizer", "adamw"}},
                                  arms_named({"none", "clip", "stabilize", "normalize", "beta2"}),
                                  std::move(regimes)));
  }
  return plan;
}

Plan nan_injection_plan(Scale scale) {
  Plan plan = llm_plan(scale);
  for (const std::string& horizon : horizons(scale)) {
    std::vector<Arm> arms =
        arms_named({"none", "clip", "zclip", "stabilize", "robust", "normalize", "beta2"});
    if (horizon == "long") arms = arms_named({"none", "stabilize", "normalize", "beta2"});
    arms.insert(arms.begin() + 1, arm_named("none-skip_step"));
    arms.push_back(arm_named("stabilize-skip_step"));
    plan.parts.push_back(llm_part(scale, horizon, {{"optimizer", "adamw"}, {"lr", "0.003"}}, std::move(arms),
                                  without_and_with("nan", {{"1in100", "random:0.01:nan"}})));
  }
  return plan;
}

}  // namespace gradstab::lab
