// Of the list of tasks, which whoever links this defines.
#include <fmt/format.h>

#include <algorithm>

#include "lab/tasks.hpp"

namespace gradstab::lab {

const TaskKind* find_task(std::string_view name) {
  const auto found =
      std::ranges::find(all_tasks(), name, [](const TaskEntry& entry) { return entry.kind->name(); });
  return found == all_tasks().end() ? nullptr : found->kind;
}

Result<const TaskEntry*> entry_of(const TaskKind& kind) {
  const auto found = std::ranges::find(all_tasks(), &kind, &TaskEntry::kind);
  if (found == all_tasks().end() || found->make == nullptr)
    return Status(StatusCode::unsupported, fmt::format("this program does not train '{}'", kind.name()));
  return &*found;
}

Result<const TaskKind*> task_named(std::string_view name) {
  if (const TaskKind* const kind = find_task(name)) return kind;
  return Status(StatusCode::invalid_argument,
                fmt::format("'{}' is not a task of this program; its tasks are {}", name, names_of_tasks()));
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
