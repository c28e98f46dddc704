#pragma once

#include <memory>

#include "gradstab/status.hpp"
#include "lab/train/task.hpp"
#include "lab/train/task_kind.hpp"

namespace gradstab::lab {

Result<std::unique_ptr<Task>> make_toy_task(const TrainOptions& options,
                                            const PreparationProgress& on_progress);

}  // namespace gradstab::lab
