// One update of the weights.
#include <fmt/format.h>

#include <chrono>
#include <cmath>
#include <utility>

#include "lab/train/gradients.hpp"
#include "lab/train/training_run.hpp"

namespace gradstab::lab {

/// The part of the update's loss that is micro-batch `i` of it, after its backward; an undefined tensor where
/// another process computes it.
Result<torch::Tensor> TrainingRun::micro_batch_loss(std::int64_t i) {
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
Result<torch::Tensor> TrainingRun::backward() {
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
Result<torch::Tensor> TrainingRun::with_the_others(const Result<torch::Tensor>& loss) {
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
bool TrainingRun::unscale() {
  if (!loss_scaler_) return true;
  step_.loss_scale = loss_scaler_->scale();
  const bool found_inf = unscale_gradients(task_.model(), loss_scaler_->inverse_scale());
  loss_scaler_->update(found_inf);
  return !found_inf;
}

void TrainingRun::inject_spike() {
  const std::int64_t update = progress_.step + 1;
  step_.injected = injected_factor(injected_spikes_, options_.seed, update);
  if (!step_.injected) return;
  if (!std::isnan(*step_.injected)) return multiply_gradients(task_.model(), *step_.injected);
  const auto gradients = defined_gradients(task_.model());
  gradients.at(poisoned_gradient(options_.seed, update, gradients.size())).view(-1)[0] = kNoValue;
}

/// One optimizer update. Returns the training loss; nothing if the run was told to stop before it.
Result<std::optional<double>> TrainingRun::update() {
  const auto begin = std::chrono::steady_clock::now();
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
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
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

}  // namespace gradstab::lab
