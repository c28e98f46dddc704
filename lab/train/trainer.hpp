// The one trainer: schedule, accumulation, evaluation, metrics, checkpoints, resumption.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>

#include "gradstab/status.hpp"
#include "lab/run/run_directory.hpp"
#include "lab/train/processes.hpp"
#include "lab/train/task.hpp"
#include "lab/train/train_options.hpp"

namespace gradstab::lab {

/// What a live display needs after an update.
struct TrainProgress {
  std::int64_t step = 0;
  std::int64_t steps = 0;
  double loss = 0.0;       ///< of this update's batch
  double score = 0.0;      ///< latest, NaN before the first evaluation
  double grad_norm = 0.0;  ///< raw global norm
  double samples_per_second = 0.0;
  std::size_t spikes = 0;  ///< so far
};

struct TrainRequest {
  TrainOptions options;
  std::filesystem::path directory;  ///< of a new run
  std::string name;                 ///< of the run in reports
  std::string command;              ///< how it was started, for run.json
  bool force = false;               ///< replace an existing run
  /// The run to continue, if it is not a new one; the options must be those it was started with.
  std::optional<RunDirectory> resumed;
  /// Of several processes all but the first, which holds that run: whether they continue the one in
  /// `directory`.
  bool resume = false;
  /// The processes that train together; null: this one alone. Each computes every size()-th micro-batch of an
  /// update, so that the batch of an update is the same for any number of them. The first evaluates and
  /// writes; the others read the checkpoint of a resumed run from `directory`.
  Processes* processes = nullptr;
  /// Told what the user must know before the first update and what stops nothing.
  std::function<void(const std::string&)> on_warning;
  std::function<void(const TrainProgress&)> on_step;
  /// Asked after every update, and between the micro-batches of one; true makes the trainer write a
  /// checkpoint and return. An update that was not complete is left out.
  std::function<bool()> should_stop;
};

enum class TrainOutcome { finished, interrupted };

struct TrainResult {
  TrainOutcome outcome = TrainOutcome::finished;
  Json summary;         ///< as written to summary.json; empty where another process writes it
  std::string warning;  ///< of the task (Task::warning)
};

/// Trains `task` and fills the run directory (docs/run-format.md). Errors: the directory, the checkpoint, a
/// full disk, a non-finite gradient under policy `raise`. An interrupted and resumed run leaves the weights,
/// bit for bit, that an uninterrupted one leaves on the same machine with the same number of threads.
Result<TrainResult> train(Task& task, TrainRequest request);

}  // namespace gradstab::lab
