// Image classification.
#pragma once

#include <memory>

#include "gradstab/status.hpp"
#include "lab/train/task.hpp"
#include "lab/train/task_kind.hpp"

namespace gradstab::lab::vision {

/// Opens the pictures. Errors: those of open_source and Loader::create, and settings that do not fit the
/// data.
Result<std::unique_ptr<Task>> make_vision_task(const TrainOptions& options,
                                               const PreparationProgress& on_progress);

}  // namespace gradstab::lab::vision
