// A run from its begin to its end.
#include "lab/train/training_run.hpp"

#include "lab/run/formats.hpp"
#include "lab/train/environment.hpp"
#include "lab/train/setting_checks.hpp"
#include "lab/train/weights_checksum.hpp"

namespace gradstab::lab {

Json TrainingRun::describe() const {
  return {{"format", kRunFormat},          {"name", request_.name},
          {"task", info().name},           {"measures", to_json(info())},
          {"command", request_.command},   {"settings", lab::to_json(options_)},
          {"updates", length_.steps},      {"model", task_.describe_model()},
          {"data", task_.describe_data()}, {"environment", describe_environment(device_model(device_))}};
}

/// The folder, and of a resumed run everything that was.
Status TrainingRun::begin() {
  if (request_.resume) {
    GRADSTAB_RETURN_IF_ERROR(restore());
    if (!writes()) return {};
    directory_ = std::move(request_.resumed);
    GRADSTAB_RETURN_IF_ERROR(
        directory_->go_back_to(progress_.step, progress_.evaluated, options_.metrics_every));
    if (request_.on_warning && !directory_->gap().empty()) request_.on_warning(directory_->gap());
  } else if (writes()) {
    auto directory = RunDirectory::create(request_.directory, describe(), request_.force);
    if (!directory) return directory.status();
    directory_ = std::move(*directory);
  }
  if (request_.on_warning && directory_ && !directory_->warning().empty())
    request_.on_warning(directory_->warning());
  if (directory_ && options_.tensorboard) GRADSTAB_RETURN_IF_ERROR(directory_->also_write_events());
  return {};
}

/// Whether all processes train the same.
Status TrainingRun::check_alike() {
  if (processes_.alone()) return {};
  Json mine = describe();
  mine["version"] = mine["environment"].value("version", Json());
  // What they are called and run on may differ, and the number of threads changes only the last digits.
  for (const char* own : {"name", "command", "environment"}) mine.erase(own);
  mine["settings"].erase("threads");
  mine["weights"] = weights_checksum(task_.model());
  mine["step"] = progress_.step;
  return processes_.alike(mine);
}

/// The processes end together, since launchers stop the others once one has ended, and the first may still be
/// writing.
Result<TrainResult> TrainingRun::train() {
  auto result = train_here();
  if (!processes_.lost()) GRADSTAB_RETURN_IF_ERROR(processes_.agreed(result.status()));
  return result;
}

Result<TrainResult> TrainingRun::train_here() {
  // Before a folder is made, and again with what a resumed run has read.
  GRADSTAB_RETURN_IF_ERROR(check_alike());
  GRADSTAB_RETURN_IF_ERROR(processes_.agreed(begin()));
  if (request_.resume) GRADSTAB_RETURN_IF_ERROR(check_alike());
  while (progress_.step < length_.steps) {
    const auto loss = update();
    if (!loss) return loss.status();
    if (!*loss) {
      if (progress_.step > 0) GRADSTAB_RETURN_IF_ERROR(checkpoint());
      return finish(TrainOutcome::interrupted);
    }
    const bool done = progress_.step == length_.steps;
    // Nothing can interrupt an evaluation, and the last one can take long: what was trained is safe before
    // it.
    if (done) GRADSTAB_RETURN_IF_ERROR(checkpoint());
    if (done || progress_.step % length_.eval_every == 0) GRADSTAB_RETURN_IF_ERROR(evaluate());
    if (request_.on_step) {
      request_.on_step({progress_.step, length_.steps, **loss, progress_.score(), step_.grad_norm, speed(),
                        static_cast<std::size_t>(progress_.spikes)});
    }
    const bool stop = !done && (processes_.alone() ? stopping() : told_to_stop_);
    if (done || stop || progress_.step % length_.checkpoint_every == 0)
      GRADSTAB_RETURN_IF_ERROR(checkpoint());
    if (stop) return finish(TrainOutcome::interrupted);
  }
  // Killed in its last evaluation.
  if (progress_.evaluated != progress_.step) {
    GRADSTAB_RETURN_IF_ERROR(evaluate());
    GRADSTAB_RETURN_IF_ERROR(checkpoint());
  }
  return finish(TrainOutcome::finished);
}

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

}  // namespace gradstab::lab
