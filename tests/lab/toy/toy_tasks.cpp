// The list of tasks of this program: the toy alone.
#include "lab/tasks.hpp"
#include "tests/lab/toy/toy_kind.hpp"
#ifdef TOY_WITH_TORCH
#include "tests/lab/toy/toy_task.hpp"
#define TOY_MAKES(function) function
#else
#define TOY_MAKES(function) nullptr
#endif

namespace gradstab::lab {

std::span<const TaskEntry> all_tasks() {
  static const TaskEntry tasks[] = {{&toy_kind(), TOY_MAKES(make_toy_task)}};
  return tasks;
}

}  // namespace gradstab::lab
