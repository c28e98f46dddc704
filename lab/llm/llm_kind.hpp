// The language-model task as the list of tasks knows it. No torch.
#pragma once

#include "lab/llm/data/dataset.hpp"
#include "lab/train/task_kind.hpp"

namespace gradstab::lab {

/// Lives as long as the program.
const TaskKind& llm_kind();

/// The dataset settings among the options.
DatasetOptions dataset_options(const TrainOptions& options);

}  // namespace gradstab::lab
