#include "lab/train/trainer.hpp"

#include <fmt/format.h>
#include <zlib.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>
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
#include "lab/train/loss_scaler.hpp"
#include "lab/train/optimizer_factory.hpp"
#include "lab/train/resume.hpp"
#include "lab/train/schedule.hpp"
#include "lab/train/stored_state.hpp"

namespace gradstab::lab {
namespace {

using Clock = std::chrono::steady_clock;

/// Identifies weights exactly: equal runs have equal checksums.
std::string weights_checksum(const torch::nn::Module& model) {
  uLong sum = crc32_z(0, nullptr, 0);
  for (const auto& item : model.named_parameters()) {
    const torch::Tensor values = item.value().detach().cpu().contiguous();
    sum = crc32_z(sum, static_cast<const Bytef*>(values.data_ptr()), static_cast<z_size_t>(values.nbytes()));
  }
  return fmt::format("{:08x}", sum);
}

double median(std::vector<double> values) {
  if (values.empty()) return kNoValue;
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

class Run {
 public:
  Run(Task& task, TrainRequest request)
      : task_(task),
        request_(std::move(request)),
        options_(request_.options),
        device_(device_named(options_.device).value()),
        schedule_{options_.lr, options_.warmup, options_.steps, options_.min_lr_ratio},
        injected_spikes_(parse_injected_spikes(options_.inject_spikes).value()),
        optimizer_(make_optimizer(options_, task.model(), task.attention_heads())) {
    if (needs_loss_scaling(options_.number_format())) loss_scaler_.emplace(loss_scaler_options(options_));
  }

  Result<TrainResult> train();

 private:
  Json describe() const;
  Status restore();
  Status checkpoint() const;
  Result<std::optional<double>> update();
  Result<torch::Tensor> backward();
  const TaskInfo& info() const noexcept { return task_.info(); }
  /// The index of a micro-batch of the next update.
  std::uint64_t micro_batch(std::int64_t i) const {
    return static_cast<std::uint64_t>(progress_.step * options_.accumulation + i);
  }
  bool stopping() const { return request_.should_stop && request_.should_stop(); }
  bool unscale();
  void inject_spike();
  Status evaluate();
  Result<TrainResult> finish(TrainOutcome outcome);

  Task& task_;
  TrainRequest request_;
  const TrainOptions& options_;
  torch::Device device_;
  c10::DeviceGuard current_device_{device_};  // so that what asks for the current one gets this
  CosineSchedule schedule_;
  std::vector<InjectedSpike> injected_spikes_;
  std::unique_ptr<TrainingOptimizer> optimizer_;
  std::optional<LossScaler> loss_scaler_;
  std::optional<RunDirectory> directory_;
  Progress progress_;
  std::vector<double> speeds_;
  StepFigures step_;  // of the latest update
};

Json Run::describe() const {
  return {{"format", kRunFormat},
          {"name", request_.name},
          {"task", info().name},
          {"measures", to_json(info())},
          {"command", request_.command},
          {"settings", lab::to_json(options_)},
          {"model", task_.describe_model()},
          {"data", task_.describe_data()},
          {"environment", describe_environment(device_model(device_))}};
}

Status Run::checkpoint() const {
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
  return write_checkpoint(directory_->checkpoint_path(), filler.checkpoint());
}

/// Everything that the checkpoint holds is looked at before any of it is taken.
Status Run::restore() {
  const auto run = read_run_json(directory_->path());
  if (!run) return run.status();
  GRADSTAB_RETURN_IF_ERROR(check_same_data(run->value("data", Json()), task_.describe_data(),
                                           directory_->path(), request_.on_warning));
  const std::filesystem::path path = directory_->checkpoint_path();
  const auto checkpoint = read_checkpoint(path);
  if (!checkpoint) return checkpoint.status();
  auto resumed = resumed_progress(checkpoint->header, path, options_, info(), task_.describe_model());
  if (!resumed) return resumed.status();

  CheckpointLoader loader(*checkpoint);
  const auto expect_all = [&]() -> Status {
    GRADSTAB_RETURN_IF_ERROR(for_each_weight(
        task_.model(),
        [&](const std::string& name, const torch::Tensor& weight) { return loader.expect(name, weight); }));
    GRADSTAB_RETURN_IF_ERROR(loader.expect_nothing_else(kWeightPrefix));
    GRADSTAB_RETURN_IF_ERROR(optimizer_->expect(*checkpoint, loader));
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

/// Scaled gradients of all micro-batches, accumulated. Returns the unscaled loss, a double on the device:
/// whoever reads it waits for the device. An undefined tensor: told to stop between two of them.
Result<torch::Tensor> Run::backward() {
  drop_gradients(task_.model());
  torch::Tensor loss = torch::zeros({}, torch::TensorOptions(torch::kDouble).device(device_));
  for (std::int64_t i = 0; i < options_.accumulation; ++i) {
    if (i > 0 && stopping()) return torch::Tensor();
    torch::Tensor micro_loss =
        task_.training_loss(micro_batch(i)) / static_cast<double>(options_.accumulation);
    optimizer_->before_backward(i + 1 == options_.accumulation);
    try {
      (loss_scaler_ ? micro_loss * loss_scaler_->scale() : micro_loss).backward();
    } catch (const Error& error) {
      return Status(error.code(), error.what());
    }
    loss += micro_loss.detach();
  }
  return loss;
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
  const double lr = schedule_.at(progress_.step);
  for (auto& group : optimizer_->optimizer().param_groups()) group.options().set_lr(lr);
  const auto failed = [&](const Status& status) {
    return Status(status.code(), fmt::format("update {}: {}", progress_.step + 1, status.message()));
  };
  const auto loss_on_device = backward();
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
  speeds_.push_back(static_cast<double>(samples) / seconds);
  step_.loss = loss;
  step_.lr = lr;
  step_.samples_per_second = speeds_.back();
  step_.grad_norm = step_.skipped ? kNoValue : report.raw_global_norm;
  progress_.spikes += static_cast<std::int64_t>(report.spikes);
  progress_.nonfinite += static_cast<std::int64_t>(report.nonfinite);
  GRADSTAB_RETURN_IF_ERROR(
      directory_->append_metrics(step_line(info(), progress_, step_, report, optimizer_->parameters())));
  return std::optional(loss);
}

Status Run::evaluate() {
  const auto begin = Clock::now();
  const bool last = progress_.step == options_.steps;
  const Evaluation found = task_.evaluate(last ? Extent::full : Extent::quick);
  progress_.seconds += std::chrono::duration<double>(Clock::now() - begin).count();
  progress_.values = with_derived(info(), found.values);
  if (std::isnan(progress_.best_score) || is_better(info().score(), progress_.score(), progress_.best_score))
    progress_.best_score = progress_.score();
  Json line = {{"kind", "eval"}, {"step", progress_.step}};
  for (std::size_t i = 0; i < progress_.values.size(); ++i)
    line[info().metrics[i].key] = number(progress_.values[i]);
  return directory_->append_metrics(line);
}

Result<TrainResult> Run::finish(TrainOutcome outcome) {
  TrainResult result;
  result.outcome = outcome;
  Json& summary = result.summary;
  summary = {{"format", kRunFormat},
             {"state", outcome == TrainOutcome::finished ? "finished" : "interrupted"},
             {"step", progress_.step}};
  for (std::size_t i = 0; i < info().metrics.size(); ++i) {
    summary["final_" + info().metrics[i].key] =
        number(i < progress_.values.size() ? progress_.values[i] : kNoValue);
  }
  summary["best_" + info().score().key] = number(progress_.best_score);
  summary["spikes"] = progress_.spikes;
  summary["nonfinite"] = progress_.nonfinite;
  summary["skipped_steps"] = loss_scaler_ ? loss_scaler_->skipped_steps() : 0;
  summary["diverged"] = outcome == TrainOutcome::finished && is_diverged(info(), progress_.score());
  summary["seconds"] = progress_.seconds;
  summary[info().rate_key()] = number(median(speeds_));
  summary["weights_checksum"] = weights_checksum(task_.model());
  GRADSTAB_RETURN_IF_ERROR(directory_->write_summary(summary));
  return result;
}

Result<TrainResult> Run::train() {
  if (request_.resumed) {
    directory_ = std::move(request_.resumed);
    GRADSTAB_RETURN_IF_ERROR(restore());
    GRADSTAB_RETURN_IF_ERROR(directory_->go_back_to(progress_.step));
  } else {
    auto directory = RunDirectory::create(request_.directory, describe(), request_.force);
    if (!directory) return directory.status();
    directory_ = std::move(*directory);
  }
  if (request_.on_warning && !directory_->warning().empty()) request_.on_warning(directory_->warning());
  while (progress_.step < options_.steps) {
    const auto loss = update();
    if (!loss) return loss.status();
    if (!*loss) {
      if (progress_.step > 0) GRADSTAB_RETURN_IF_ERROR(checkpoint());
      return finish(TrainOutcome::interrupted);
    }
    const bool done = progress_.step == options_.steps;
    if (done || progress_.step % options_.eval_every == 0) GRADSTAB_RETURN_IF_ERROR(evaluate());
    if (request_.on_step) {
      request_.on_step({progress_.step, options_.steps, **loss, progress_.score(), step_.grad_norm,
                        speeds_.back(), static_cast<std::size_t>(progress_.spikes)});
    }
    const bool stop = !done && stopping();
    if (done || stop || progress_.step % options_.checkpoint_every == 0)
      GRADSTAB_RETURN_IF_ERROR(checkpoint());
    if (stop) return finish(TrainOutcome::interrupted);
  }
  return finish(TrainOutcome::finished);
}

}  // namespace

Result<TrainResult> train(Task& task, TrainRequest request) {
  const FlushDenormals flushed;
  try {
    return Run(task, std::move(request)).train();
  } catch (const Error& error) {
    return Status(error.code(), error.what());
  }
}

}  // namespace gradstab::lab
