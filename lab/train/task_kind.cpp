#include "lab/train/task_kind.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "lab/tasks.hpp"

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
    std::string known;
    for (const Recipe& one : recipes) known += (known.empty() ? "" : ", ") + one.name;
    return {StatusCode::invalid_argument,
            known.empty() ? fmt::format("there is no recipe '{}'; this task has none", name)
                          : fmt::format("there is no recipe '{}'; there are {}", name, known)};
  }
  for (const auto& [key, value] : recipe->settings) {
    const Status set = set_setting(options, key, value);
    if (!set.ok()) return {set.code(), fmt::format("recipe {}: {}: {}", name, key, set.message())};
  }
  return {};
}

const TaskKind* find_task(std::string_view name) {
  const auto found =
      std::ranges::find(all_tasks(), name, [](const TaskEntry& entry) { return entry.kind->name(); });
  return found == all_tasks().end() ? nullptr : found->kind;
}

Result<const TaskKind*> task_named(std::string_view name) {
  if (const TaskKind* const kind = find_task(name)) return kind;
  return Status(StatusCode::invalid_argument,
                fmt::format("'{}' is no task of this program; there are {}", name, names_of_tasks()));
}

std::string names_of_tasks() {
  std::string names;
  for (const TaskEntry& entry : all_tasks()) {
    if (!names.empty()) names += ", ";
    names += entry.kind->name();
  }
  return names;
}

}  // namespace gradstab::lab
