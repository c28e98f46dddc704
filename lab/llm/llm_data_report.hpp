// What `gradstab data llm` says.
#pragma once

#include <string>

#include "gradstab/status.hpp"
#include "lab/llm/data/dataset.hpp"
#include "lab/train/task_kind.hpp"

namespace gradstab::lab {

/// Prepares the text and counts what is in it; also the tokens of `text`, where it is not empty.
Result<DataReport> llm_data_report(const DatasetOptions& options, const std::string& text,
                                   const PreparationProgress& on_progress);

}  // namespace gradstab::lab
