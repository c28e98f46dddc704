// Language-model pre-training of a LLaMA.
#pragma once

#include <memory>

#include "gradstab/status.hpp"
#include "lab/train/task.hpp"
#include "lab/train/task_kind.hpp"

namespace gradstab::lab {

/// Prepares the text, if that was not done before. Errors: those of the text; unknown model size, a corpus
/// that is too short for one batch, a device that is not there.
Result<std::unique_ptr<Task>> make_llm_task(const TrainOptions& options,
                                            const PreparationProgress& on_progress);

}  // namespace gradstab::lab
