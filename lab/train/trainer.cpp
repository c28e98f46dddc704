#include "lab/train/trainer.hpp"

#include <fmt/format.h>

#include <utility>

#include "lab/train/denormals.hpp"
#include "lab/train/run_length.hpp"
#include "lab/train/setting_checks.hpp"
#include "lab/train/task_kind.hpp"
#include "lab/train/training_run.hpp"

namespace gradstab::lab {
namespace {

/// Whether there is work for all processes.
Status can_be_shared(const TrainRequest& request) {
  if (request.processes == nullptr || request.processes->alone()) return {};
  const std::int64_t size = request.processes->size();
  if (request.options.accumulation < size)
    return invalid_setting(
        "accumulation", fmt::format("at least {}, so that each process has a micro-batch of an update", size),
        request.options.accumulation);
  if (request.options.on_device())
    return {StatusCode::unsupported,
            "several processes train on the CPU only so far, and not on '" + request.options.device + "'"};
  return {};
}

}  // namespace

Result<TrainResult> train(Task& task, TrainRequest request) {
  const FlushDenormals flushed;
  const TaskKind* const kind = request.options.kind;
  if (kind != nullptr && kind->has_epochs() != (task.updates_per_epoch() > 0)) {
    return Status(StatusCode::failed_precondition,
                  fmt::format("task '{}' says of itself that it has {}epochs, and has {} updates in one",
                              kind->name(), kind->has_epochs() ? "" : "no ", task.updates_per_epoch()));
  }
  const auto length = run_length(request.options, task.updates_per_epoch());
  if (!length) return length.status();
  GRADSTAB_RETURN_IF_ERROR(can_be_shared(request));
  if (request.resumed) {
    request.resume = true;
    request.directory = request.resumed->path();
  }
  try {
    return TrainingRun(task, std::move(request), *length).train();
  } catch (const Error& error) {
    return Status(error.code(), error.what());
  }
}

}  // namespace gradstab::lab
