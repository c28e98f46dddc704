#include "lab/train/task_kind.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "lab/support/nearest.hpp"

namespace gradstab::lab {

const Recipe* TaskKind::find(const std::vector<Recipe>& recipes, std::string_view name) noexcept {
  const auto found = std::ranges::find(recipes, name, &Recipe::name);
  return found == recipes.end() ? nullptr : &*found;
}

TrainOptions default_options(const TaskKind& kind) {
  TrainOptions options;
  options.kind = &kind;
  kind.set_defaults(options);
  return options;
}

Status apply_recipe(TrainOptions& options, std::string_view name) {
  const auto recipes = options.kind == nullptr ? std::vector<Recipe>() : options.kind->recipes();
  const Recipe* const recipe = TaskKind::find(recipes, name);
  if (recipe == nullptr) {
    std::vector<std::string> known;
    for (const Recipe& one : recipes) known.push_back(one.name);
    return {StatusCode::invalid_argument,
            known.empty() ? fmt::format("there is no recipe '{}'; this task has none", name)
                          : fmt::format("there is no recipe '{}'; this task has {}; did you mean {}?", name,
                                        fmt::join(known, ", "), nearest(std::string(name), known))};
  }
  for (const auto& [key, value] : recipe->settings) {
    const Status set = set_setting(options, key, value);
    if (!set.ok()) return {set.code(), fmt::format("recipe {}: {}: {}", name, key, set.message())};
  }
  return {};
}

}  // namespace gradstab::lab
