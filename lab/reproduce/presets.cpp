#include "lab/reproduce/presets.hpp"

#include <stdexcept>
#include <utility>

#include "lab/tasks.hpp"

namespace gradstab::lab {
namespace {

constexpr const char* kLlm = "llm";
constexpr const char* kForecast = "forecast";
constexpr const char* kVision = "vision";
constexpr const char* kRl = "rl";

/// Updates, and after how many of them the learning rate has risen.
struct Length {
  const char* steps;
  const char* warmup;
  const char* eval_every;
};

Length length_of(Scale scale, const std::string& horizon) {
  const bool is_short = horizon == "short";
  switch (scale) {
    case Scale::smoke:
      return is_short ? Length{"6", "2", "3"} : Length{"8", "2", "4"};
    case Scale::cpu:
      return is_short ? Length{"300", "20", "100"} : Length{"800", "50", "100"};
    case Scale::gpu:
      return is_short ? Length{"500", "50", "100"} : Length{"1500", "150", "250"};
    case Scale::paper:
      return {"20000", "2000", "1000"};
  }
  throw std::out_of_range("no such scale");
}

/// The settings of a task's recipe.
Settings recipe_named(const char* task, std::string_view name) {
  const TaskKind* const kind = find_task(task);
  const auto recipes = kind == nullptr ? std::vector<Recipe>() : kind->recipes();
  const Recipe* const recipe = TaskKind::find(recipes, name);
  if (recipe == nullptr)
    throw std::out_of_range("no recipe of " + std::string(task) + " is called " + std::string(name));
  return recipe->settings;
}

/// The settings of the task's recipe for a scale.
Settings recipe_of(const char* task, Scale scale) {
  return recipe_named(task, scale == Scale::paper ? "published" : to_string(scale));
}

/// Without parts yet. Five seeds, but for the smallest scale.
Plan plan_of_task(const char* task, Scale scale) {
  Plan plan;
  plan.task = task;
  plan.seeds = scale == Scale::smoke ? 1 : 5;
  return plan;
}

}  // namespace

std::vector<std::string> horizons(Scale scale) {
  if (scale == Scale::paper) return {"published"};
  return {"short", "long"};
}

bool is_small(Scale scale) {
  return scale == Scale::smoke || scale == Scale::cpu;
}

Plan llm_plan(Scale scale) {
  Plan plan;
  plan.task = kLlm;
  plan.seeds = default_seeds(scale);
  return plan;
}

Settings llm_preset(Scale scale, const std::string& horizon) {
  const Length length = length_of(scale, horizon);
  return joined(recipe_of(kLlm, scale),
                {{"steps", length.steps}, {"warmup", length.warmup}, {"eval_every", length.eval_every}});
}

Part llm_part(Scale scale, const std::string& horizon, const Settings& more, std::vector<Arm> arms,
              std::vector<Context> contexts) {
  return {horizon, horizon, joined(llm_preset(scale, horizon), more), std::move(arms), std::move(contexts)};
}

Plan forecast_plan(Scale scale) {
  return plan_of_task(kForecast, scale);
}

Settings forecast_preset(Scale scale) {
  return recipe_of(kForecast, scale);
}

Plan vision_plan(Scale scale) {
  return plan_of_task(kVision, scale);
}

Settings vision_preset(Scale scale, std::string_view classifier) {
  const std::string name(classifier);
  switch (scale) {
    case Scale::smoke:
      return joined(recipe_named(kVision, "smoke"), {{"model", name + "-mini"}});
    case Scale::cpu:
      // A probe of the paper's claim, in some twenty seconds a run: shorter than the recipe, and at one rate
      // for all models, as the paper's tables are.
      return joined(recipe_named(kVision, "cpu-" + name), {{"epochs", "0"},
                                                           {"steps", "400"},
                                                           {"warmup_epochs", "0"},
                                                           {"warmup", "40"},
                                                           {"batch", "64"},
                                                           {"eval_every", "100"}});
    case Scale::gpu:
      return recipe_named(kVision, "cpu-" + name);
    case Scale::paper:
      break;
  }
  const char* const recipe = name == "vit" ? "vit-b16" : "convnext-t";  // ResNet-50 by ConvNeXt's, too
  Settings settings = joined(recipe_named(kVision, recipe), {{"epochs", "120"}});
  return name == "resnet" ? joined(settings, {{"model", "resnet50"}, {"drop_path", "0"}}) : settings;
}

Plan rl_plan(Scale scale) {
  return plan_of_task(kRl, scale);
}

Settings rl_preset(Scale scale, std::string_view environment) {
  Settings settings =
      joined(recipe_of(kRl, scale), {{"lr", "0.0005"}, {"environment", std::string(environment)}});
  // 300,000 environment steps, so that figures end within the time of the scale.
  return scale == Scale::cpu ? joined(settings, {{"epochs", "150"}, {"eval_every", "4800"}}) : settings;
}

int default_seeds(Scale scale) {
  return scale == Scale::smoke ? 1 : 3;
}

}  // namespace gradstab::lab
