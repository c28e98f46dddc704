#include "lab/reproduce/presets.hpp"

#include <stdexcept>
#include <utility>

#include "lab/tasks.hpp"

namespace gradstab::lab {
namespace {

constexpr const char* kLlm = "llm";
constexpr const char* kForecast = "forecast";

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

/// The settings of the task's recipe for a scale.
Settings recipe_of(const char* task, Scale scale) {
  const std::string_view name = scale == Scale::paper ? "published" : to_string(scale);
  const TaskKind* const kind = find_task(task);
  const auto recipes = kind == nullptr ? std::vector<Recipe>() : kind->recipes();
  const Recipe* const recipe = TaskKind::find(recipes, name);
  if (recipe == nullptr)
    throw std::out_of_range("no recipe of " + std::string(task) + " is called " + std::string(name));
  return recipe->settings;
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
  Plan plan;
  plan.task = kForecast;
  plan.seeds = scale == Scale::smoke ? 1 : 5;
  return plan;
}

Settings forecast_preset(Scale scale) {
  return recipe_of(kForecast, scale);
}

int default_seeds(Scale scale) {
  return scale == Scale::smoke ? 1 : 3;
}

}  // namespace gradstab::lab
