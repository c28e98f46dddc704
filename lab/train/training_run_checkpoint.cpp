// What a run leaves for going on, and goes on with.
#include <fmt/format.h>

#include <utility>

#include "lab/train/resume.hpp"
#include "lab/train/training_run.hpp"

namespace gradstab::lab {

Status TrainingRun::checkpoint() const {
  if (!writes()) return {};
  CheckpointFiller filler;
  filler.header() = {{"progress", to_json(progress_, info())},
                     {"task", info().name},
                     {"model", task_.describe_model()},
                     {"settings", lab::to_json(options_)}};
  if (loss_scaler_) filler.header()["loss_scaler"] = loss_scaler_->state();
  GRADSTAB_RETURN_IF_ERROR(for_each_weight(
      task_.model(),
      [&](const std::string& name, const torch::Tensor& weight) { return filler.add(name, weight); }));
  GRADSTAB_RETURN_IF_ERROR(optimizer_->save(filler));
  if (average_) GRADSTAB_RETURN_IF_ERROR(average_->save(filler));
  if (best_) GRADSTAB_RETURN_IF_ERROR(best_->save(filler));
  StateWriter state(filler);
  GRADSTAB_RETURN_IF_ERROR(task_.save(state));
  return write_checkpoint(directory_->checkpoint_path(), filler.checkpoint());
}

/// Those of the model, of the average and of the best evaluation.
Status TrainingRun::expect_weights(CheckpointLoader& loader) {
  GRADSTAB_RETURN_IF_ERROR(for_each_weight(
      task_.model(),
      [&](const std::string& name, const torch::Tensor& weight) { return loader.expect(name, weight); }));
  GRADSTAB_RETURN_IF_ERROR(loader.expect_nothing_else(kWeightPrefix));
  if (average_) GRADSTAB_RETURN_IF_ERROR(average_->expect(loader));
  return best_ ? best_->expect(loader) : Status();
}

/// Everything that the checkpoint holds is checked before any of it is loaded; only a task loads its own
/// state earlier, and a run whose task refuses does not begin.
Status TrainingRun::restore() {
  const std::filesystem::path& directory = request_.directory;
  const auto run = read_run_json(directory);
  if (!run) return run.status();
  GRADSTAB_RETURN_IF_ERROR(
      check_same_data(run->value("data", Json()), task_.describe_data(), directory, request_.on_warning));
  const std::filesystem::path path = checkpoint_path(directory);
  std::error_code ignored;
  if (!std::filesystem::exists(path, ignored)) {
    return Status(StatusCode::failed_precondition,
                  fmt::format("'{}' has no {} to continue from: the run was stopped before its first "
                              "checkpoint, or the file is lost; start it again with --force",
                              directory.string(), path.filename().string()));
  }
  const auto checkpoint = read_checkpoint(path);
  if (!checkpoint) return checkpoint.status();
  auto resumed =
      resumed_progress(checkpoint->header, path, options_, info(), task_.describe_model(), length_.steps);
  if (!resumed) return resumed.status();

  CheckpointLoader loader(*checkpoint);
  const auto expect_all = [&]() -> Status {
    GRADSTAB_RETURN_IF_ERROR(expect_weights(loader));
    GRADSTAB_RETURN_IF_ERROR(optimizer_->expect(*checkpoint, loader));
    StateReader state(*checkpoint, loader);
    GRADSTAB_RETURN_IF_ERROR(task_.load(state));
    GRADSTAB_RETURN_IF_ERROR(loader.expect_nothing_else(kTaskPrefix));
    try {
      optimizer_->load(*checkpoint);
    } catch (const Error& error) {
      return {error.code(), error.what()};
    }
    return {};
  };
  if (const Status fits = expect_all(); !fits.ok()) {
    return {fits.code(),
            fmt::format("checkpoint '{}' does not fit this run: {}", path.string(), fits.message())};
  }
  loader.load();
  progress_ = resumed->progress;
  loss_scaler_ = std::move(resumed->loss_scaler);
  return {};
}

}  // namespace gradstab::lab
