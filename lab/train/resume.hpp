// Whether a checkpoint and data are those of the run that is to go on.
#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <string>

#include "gradstab/status.hpp"
#include "lab/run/progress.hpp"
#include "lab/support/json.hpp"
#include "lab/train/loss_scaler.hpp"
#include "lab/train/train_options.hpp"

namespace gradstab::lab {

/// What the header of a checkpoint brings back beside tensors and states.
struct ResumedProgress {
  Progress progress;
  std::optional<LossScaler> loss_scaler;  ///< of runs that scale their loss
};

/// Reads the header of the checkpoint at `path`. `model` is what the task, whose numbers `info` describes,
/// says of its model, `steps` the updates of the whole run. Errors: another model, other settings, a field
/// that is missing or of the wrong type, numbers that no such run has.
Result<ResumedProgress> resumed_progress(const Json& header, const std::filesystem::path& path,
                                         const TrainOptions& options, const TaskInfo& info, const Json& model,
                                         std::int64_t steps);

/// Compares what run.json says of the run's data, `began`, with the data of now: all that both say but the
/// source, which may have moved. Errors: they differ. Runs that are older than the SHA-256 can only be
/// compared by how much data they had, of which `on_note` is told.
Status check_same_data(const Json& began, const Json& now, const std::filesystem::path& directory,
                       const std::function<void(const std::string&)>& on_note);

}  // namespace gradstab::lab
