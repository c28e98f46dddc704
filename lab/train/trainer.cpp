#include "lab/train/trainer.hpp"

#include <fmt/format.h>
#include <zlib.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <optional>
#include <utility>

#include "lab/run/checkpoint.hpp"
#include "lab/run/formats.hpp"
#include "lab/run/progress.hpp"
#include "lab/run/run_directory.hpp"
#include "lab/run/step_line.hpp"
#include "lab/train/denormals.hpp"
#include "lab/train/device.hpp"
#include "lab/train/environment.hpp"
#include "lab/train/gradients.hpp"
#include "lab/train/injected_spikes.hpp"
#include "lab/train/kept_weights.hpp"
#include "lab/train/loss_scaler.hpp"
#include "lab/train/optimizer_factory.hpp"
#include "lab/train/resume.hpp"
#include "lab/train/run_length.hpp"
#include "lab/train/setting_checks.hpp"
#include "lab/train/shared_update.hpp"
#include "lab/train/stored_state.hpp"
#include "lab/train/task_kind.hpp"

namespace gradstab::lab {
namespace {

using Clock = std::chrono::steady_clock;

/// Identifies weights exactly, buffers included: equal runs have equal checksums.
std::string weights_checksum(const torch::nn::Module& model) {
  uLong sum = crc32_z(0, nullptr, 0);
  const auto add = [&](const torch::Tensor& tensor) {
    const torch::Tensor values = tensor.detach().cpu().contiguous();
    sum = crc32_z(sum, static_cast<const Bytef*>(values.data_ptr()), static_cast<z_size_t>(values.nbytes()));
  };
  for (const auto& item : model.named_parameters()) add(item.value());
  for (const auto& item : model.named_buffers()) add(item.value());
  return fmt::format("{:08x}", sum);
}

double median(std::vector<double> values) {
  if (values.empty()) return kNoValue;
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

/// Updates that were timed together.
struct Cycle {
  std::int64_t updates = 0, samples = 0;
  double seconds = 0.0;

  void add(std::int64_t more_samples, double more_seconds) {
    updates += 1;
    samples += more_samples;
    seconds += more_seconds;
  }
  double speed() const { return static_cast<double>(samples) / seconds; }
};

class Run {
 public:
  Run(Task& task, TrainRequest request, RunLength length)
      : task_(task),
        request_(std::move(request)),
        options_(request_.options),
        device_(device_named(options_.device).value()),
        length_(length),
        injected_spikes_(parse_injected_spikes(options_.inject_spikes).value()),
        optimizer_(make_optimizer(options_, task.model(), task.groups(), task.attention_heads())),
        processes_(request_.processes != nullptr ? *request_.processes : alone_) {
    if (needs_loss_scaling(options_.number_format())) loss_scaler_.emplace(loss_scaler_options(options_));
    if (!processes_.alone()) norm_statistics_.emplace(task.model());
    // What is only evaluated and written is kept where that is done.
    if (writes() && options_.average_decay > 0.0) average_.emplace(task.model(), kAveragePrefix);
    if (writes() && options_.select == "best") best_.emplace(task.model(), kBestPrefix);
    task.model().train();
  }

  Result<TrainResult> train();

 private:
  Json describe() const;
  Result<TrainResult> train_here();
  Status begin();
  Status restore();
  Status check_alike();
  Status checkpoint() const;
  /// Evaluates and writes: the first of several processes.
  bool writes() const noexcept { return processes_.is_first(); }
  Result<std::optional<double>> update();
  Result<torch::Tensor> backward();
  Result<torch::Tensor> micro_batch_loss(std::int64_t i);
  Result<torch::Tensor> with_the_others(const Result<torch::Tensor>& loss);
  const TaskInfo& info() const noexcept { return task_.info(); }
  /// The index of a micro-batch of the next update.
  std::uint64_t micro_batch(std::int64_t i) const {
    return static_cast<std::uint64_t>(progress_.step * options_.accumulation + i);
  }
  bool stopping() const { return request_.should_stop && request_.should_stop(); }
  /// Samples per second of the latest cycle, or of the first while it goes on.
  double speed() const { return speeds_.empty() ? cycle_.speed() : speeds_.back(); }
  bool unscale();
  void inject_spike();
  Status expect_weights(CheckpointLoader& loader);
  Result<Evaluation> evaluation(Extent extent);
  Status evaluate();
  Result<std::vector<double>> judged_values();
  void add_values(Json& json, const std::string& prefix, const std::vector<double>& values) const;
  Result<TrainResult> finish(TrainOutcome outcome);

  Task& task_;
  TrainRequest request_;
  const TrainOptions& options_;
  torch::Device device_;
  c10::DeviceGuard current_device_{device_};  // so that what asks for the current one gets this
  RunLength length_;
  std::vector<InjectedSpike> injected_spikes_;
  std::unique_ptr<TrainingOptimizer> optimizer_;
  Processes alone_;
  Processes& processes_;
  std::optional<SharedNormStatistics> norm_statistics_;  // with several processes
  bool told_to_stop_ = false;                            // one of several processes was
  std::optional<LossScaler> loss_scaler_;
  std::optional<KeptWeights> average_;
  std::optional<KeptWeights> best_;
  std::optional<RunDirectory> directory_;
  Progress progress_;
  bool full_values_ = false;       // progress_.values are those of Extent::full
  Json exhibits_ = Json::array();  // of the latest evaluation that counts
  std::vector<double> speeds_;     // of whole cycles
  Cycle cycle_;                    // the one that is going on
  StepFigures step_;               // of the latest update
};

Json Run::describe() const {
  return {{"format", kRunFormat},          {"name", request_.name},
          {"task", info().name},           {"measures", to_json(info())},
          {"command", request_.command},   {"settings", lab::to_json(options_)},
          {"updates", length_.steps},      {"model", task_.describe_model()},
          {"data", task_.describe_data()}, {"environment", describe_environment(device_model(device_))}};
}

Status Run::checkpoint() const {
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
Status Run::expect_weights(CheckpointLoader& loader) {
  GRADSTAB_RETURN_IF_ERROR(for_each_weight(
      task_.model(),
      [&](const std::string& name, const torch::Tensor& weight) { return loader.expect(name, weight); }));
  GRADSTAB_RETURN_IF_ERROR(loader.expect_nothing_else(kWeightPrefix));
  if (average_) GRADSTAB_RETURN_IF_ERROR(average_->expect(loader));
  return best_ ? best_->expect(loader) : Status();
}

/// Everything that the checkpoint holds is checked before any of it is loaded; only a task loads its own
/// state earlier, and a run whose task refuses does not begin.
Status Run::restore() {
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

/// The part of the update's loss that is micro-batch `i` of it, after its backward; an undefined tensor where
/// another process computes it.
Result<torch::Tensor> Run::micro_batch_loss(std::int64_t i) {
  try {
    task_.prepare(micro_batch(i));
    if (i % processes_.size() != processes_.rank()) return torch::Tensor();
    if (norm_statistics_) norm_statistics_->begin_micro_batch();
    const torch::Tensor loss =
        task_.training_loss(micro_batch(i)) / static_cast<double>(options_.accumulation);
    if (norm_statistics_) norm_statistics_->end_micro_batch(i, options_.accumulation);
    // Gradients that others are still added to are not to be measured.
    optimizer_->before_backward(processes_.alone() && i + 1 == options_.accumulation);
    (loss_scaler_ ? loss * loss_scaler_->scale() : loss).backward();
    return loss.detach();
  } catch (const Error& error) {
    return Status(error.code(), error.what());
  }
}

/// Scaled gradients of the micro-batches that are computed here, accumulated. Returns the unscaled loss, a
/// double on the device: whoever reads it waits for the device. An undefined tensor: told to stop between two
/// of them.
Result<torch::Tensor> Run::backward() {
  drop_gradients(task_.model());
  if (norm_statistics_) norm_statistics_->begin_update();
  torch::Tensor loss = torch::zeros({}, torch::TensorOptions(torch::kDouble).device(device_));
  for (std::int64_t i = 0; i < options_.accumulation; ++i) {
    // Several processes stop together, after the update.
    if (i > 0 && processes_.alone() && stopping()) return torch::Tensor();
    const auto of_one = micro_batch_loss(i);
    if (!of_one) return of_one;
    if (of_one->defined()) loss += *of_one;
  }
  return loss;
}

/// The loss and the gradients of all processes. Errors: those of any.
Result<torch::Tensor> Run::with_the_others(const Result<torch::Tensor>& loss) {
  UpdatePart here;
  here.status = loss.status();
  here.stop = stopping();
  if (loss) here.loss = loss->item<double>();
  const auto all = brought_together(processes_, task_.model(), here);
  if (!all) return all.status();
  GRADSTAB_RETURN_IF_ERROR(norm_statistics_->end_update(processes_, options_.accumulation));
  told_to_stop_ = all->stop;
  return torch::tensor(all->loss, torch::kDouble);
}

/// Brings the gradients back to the scale of the loss. False if they cannot be used.
bool Run::unscale() {
  if (!loss_scaler_) return true;
  step_.loss_scale = loss_scaler_->scale();
  const bool found_inf = unscale_gradients(task_.model(), loss_scaler_->inverse_scale());
  loss_scaler_->update(found_inf);
  return !found_inf;
}

void Run::inject_spike() {
  const std::int64_t update = progress_.step + 1;
  step_.injected = injected_factor(injected_spikes_, options_.seed, update);
  if (!step_.injected) return;
  if (!std::isnan(*step_.injected)) return multiply_gradients(task_.model(), *step_.injected);
  const auto gradients = defined_gradients(task_.model());
  gradients.at(poisoned_gradient(options_.seed, update, gradients.size())).view(-1)[0] = kNoValue;
}

/// One optimizer update. Returns the training loss; nothing if the run was told to stop before it.
Result<std::optional<double>> Run::update() {
  const auto begin = Clock::now();
  const double lr = length_.schedule.at(progress_.step);
  optimizer_->set_learning_rate(lr);
  const auto failed = [&](const Status& status) {
    return Status(status.code(), fmt::format("update {}: {}", progress_.step + 1, status.message()));
  };
  auto loss_on_device = backward();
  if (!processes_.alone()) loss_on_device = with_the_others(loss_on_device);
  if (!loss_on_device) return failed(loss_on_device.status());
  if (!loss_on_device->defined()) return std::optional<double>();
  step_.skipped = !unscale();
  step_.injected.reset();
  if (!step_.skipped) {
    inject_spike();
    try {
      optimizer_->step();
    } catch (const Error& error) {
      return failed(Status(error.code(), error.what()));
    }
  }
  if (average_) average_->average(options_.average_decay);
  // Only now, with the whole update in the device's queue, does the host wait; the time includes that.
  const double loss = loss_on_device->item<double>();
  const double seconds = std::chrono::duration<double>(Clock::now() - begin).count();
  // The report is that of an earlier update if this one was skipped. On a device it also brings the step's
  // errors.
  StepReport report;
  try {
    if (!step_.skipped) report = optimizer_->report();
  } catch (const Error& error) {
    return failed(Status(error.code(), error.what()));
  }
  std::int64_t samples = 0;
  for (std::int64_t i = 0; i < options_.accumulation; ++i) samples += task_.samples(micro_batch(i));
  progress_.step += 1;
  progress_.samples += samples;
  progress_.seconds += seconds;
  cycle_.add(samples, seconds);
  if (cycle_.updates == task_.updates_per_cycle()) speeds_.push_back(std::exchange(cycle_, {}).speed());
  step_.loss = loss;
  step_.lr = lr;
  step_.samples_per_second = speed();
  step_.grad_norm = step_.skipped ? kNoValue : report.raw_global_norm;
  progress_.spikes += static_cast<std::int64_t>(report.spikes);
  progress_.nonfinite += static_cast<std::int64_t>(report.nonfinite);
  if (writes() && progress_.step % options_.metrics_every == 0) {
    GRADSTAB_RETURN_IF_ERROR(
        directory_->append_metrics(step_line(info(), progress_, step_, report, optimizer_->parameters())));
    progress_.spikes_written = progress_.spikes;
    progress_.nonfinite_written = progress_.nonfinite;
  }
  return std::optional(loss);
}

/// In evaluation mode, for which the time counts.
Result<Evaluation> Run::evaluation(Extent extent) {
  const auto begin = Clock::now();
  task_.model().eval();
  Evaluation found;
  try {
    found = task_.evaluate(extent);
  } catch (const Error& error) {
    return Status(error.code(), error.what());
  }
  task_.model().train();
  progress_.seconds += std::chrono::duration<double>(Clock::now() - begin).count();
  return found;
}

/// Evaluates the averaged weights where there are some. With `select` best every evaluation is quick, so that
/// the scores that are compared are of one extent.
Status Run::evaluate() {
  progress_.evaluated = progress_.step;
  if (!writes()) return {};
  full_values_ = progress_.step == length_.steps && !best_;
  if (average_) average_->exchange();
  auto found = evaluation(full_values_ ? Extent::full : Extent::quick);
  if (!found) return found.status();
  progress_.values = with_derived(info(), found->values);
  if (std::isnan(progress_.best_score()) ||
      is_better(info().score(), progress_.score(), progress_.best_score())) {
    progress_.best_values = progress_.values;
    if (best_) best_->take();
  }
  if (average_) average_->exchange();
  exhibits_ = std::move(found->exhibits);
  Json line = {{"kind", "eval"}, {"step", progress_.step}};
  add_values(line, "", progress_.values);
  return directory_->append_metrics(line);
}

/// Of a run that has finished: puts the chosen weights into the model and says what they are worth. The test
/// part is looked at here, and nowhere else.
Result<std::vector<double>> Run::judged_values() {
  if (best_) {
    best_->put();
  } else if (average_) {
    average_->put();
  }
  // The values of Extent::full are missing where the best weights were chosen, and where the run was killed
  // between its last checkpoint and its end.
  if (!full_values_) {
    auto found = evaluation(Extent::full);
    if (!found) return found.status();
    exhibits_ = std::move(found->exhibits);
    progress_.values = with_derived(info(), found->values);
  }
  if (!task_.has_test_part()) return progress_.values;
  auto found = evaluation(Extent::test);
  if (!found) return found.status();
  exhibits_ = std::move(found->exhibits);
  const std::vector<double> values = with_derived(info(), found->values);
  Json line = {{"kind", "test"}, {"step", progress_.step}};
  add_values(line, "", values);
  GRADSTAB_RETURN_IF_ERROR(directory_->append_metrics(line));
  return values;
}

void Run::add_values(Json& json, const std::string& prefix, const std::vector<double>& values) const {
  for (std::size_t i = 0; i < info().metrics.size(); ++i)
    json[prefix + info().metrics[i].key] = number(i < values.size() ? values[i] : kNoValue);
}

Result<TrainResult> Run::finish(TrainOutcome outcome) {
  TrainResult result;
  result.outcome = outcome;
  if (!writes()) return result;
  const bool finished = outcome == TrainOutcome::finished;
  std::vector<double> values = progress_.values;
  if (finished) {
    auto judged = judged_values();
    if (!judged) return judged.status();
    values = *std::move(judged);
  }
  result.warning = task_.warning();
  Json& summary = result.summary;
  summary = {
      {"format", kRunFormat}, {"state", finished ? "finished" : "interrupted"}, {"step", progress_.step}};
  add_values(summary, "final_", values);
  summary["best_" + info().score().key] = number(progress_.best_score());
  if (finished && task_.has_test_part()) add_values(summary, "validation_", progress_.values);
  summary["spikes"] = progress_.spikes;
  summary["nonfinite"] = progress_.nonfinite;
  summary["skipped_steps"] = loss_scaler_ ? loss_scaler_->skipped_steps() : 0;
  summary["diverged"] = finished && is_diverged(info(), values.empty() ? kNoValue : values.front());
  summary["seconds"] = progress_.seconds;
  summary[info().rate_key()] =
      number(speeds_.empty() && cycle_.updates > 0 ? cycle_.speed() : median(speeds_));
  summary["weights_checksum"] = weights_checksum(task_.model());
  if (finished && !exhibits_.empty()) GRADSTAB_RETURN_IF_ERROR(directory_->write_exhibits(exhibits_));
  GRADSTAB_RETURN_IF_ERROR(directory_->write_summary(summary));
  return result;
}

/// The folder, and of a resumed run everything that was.
Status Run::begin() {
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
Status Run::check_alike() {
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
Result<TrainResult> Run::train() {
  auto result = train_here();
  if (!processes_.lost()) GRADSTAB_RETURN_IF_ERROR(processes_.agreed(result.status()));
  return result;
}

Result<TrainResult> Run::train_here() {
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
    return Run(task, std::move(request), *length).train();
  } catch (const Error& error) {
    return Status(error.code(), error.what());
  }
}

}  // namespace gradstab::lab
