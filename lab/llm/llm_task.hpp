// Language-model pre-training of a LLaMA.
#pragma once

#include <memory>

#include "gradstab/status.hpp"
#include "lab/llm/data/dataset.hpp"
#include "lab/train/task.hpp"
#include "lab/train/train_options.hpp"

namespace gradstab::lab {

/// Errors: unknown model size, a corpus that is too short for one batch, a device that is not there.
Result<std::unique_ptr<Task>> make_llm_task(const TrainOptions& options, Dataset dataset);

/// The dataset settings among the options.
DatasetOptions dataset_options(const TrainOptions& options);

}  // namespace gradstab::lab
