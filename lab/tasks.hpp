// The list of tasks. Whatever knows more than one of them asks here.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "gradstab/status.hpp"
#include "lab/train/task_kind.hpp"

namespace gradstab::lab {

class Task;

/// Makes a task of valid options, with its data. Errors: those of the data, of the device, of the settings.
using MakeTask = Result<std::unique_ptr<Task>> (*)(const TrainOptions& options,
                                                   const PreparationProgress& on_progress);

/// A line of the list.
struct TaskEntry {
  const TaskKind* kind;
  MakeTask make;  ///< null in the program that has no LibTorch
};

/// All tasks. The first one is meant where an older version, which knew only one, named none. Whoever makes a
/// program of the lab's libraries defines it: lab/tasks.cpp does for gradstab, and a test may have a list of
/// its own.
std::span<const TaskEntry> all_tasks();

/// The line of a kind whose tasks this program makes. Errors: it has none of that kind, or makes none.
Result<const TaskEntry*> entry_of(const TaskKind& kind);

/// Null if there is none of that name.
const TaskKind* find_task(std::string_view name);

/// The task that a file names. Errors: it has none, or one that this program does not know.
Result<const TaskKind*> task_named(std::string_view name);

/// "llm, vision"
std::string names_of_tasks();

}  // namespace gradstab::lab
