#include "lab/train/run_length.hpp"

#include <fmt/format.h>

#include "lab/train/setting_checks.hpp"

namespace gradstab::lab {
namespace {

/// What asks for epochs; null if nothing does.
const char* asks_for_epochs(const TrainOptions& options, ScheduleKind kind) {
  if (options.epochs > 0) return "epochs";
  if (options.warmup_epochs > 0) return "warmup_epochs";
  if (options.eval_every == 0) return "eval_every 0";
  if (options.checkpoint_every == 0) return "checkpoint_every 0";
  return counts_epochs(kind) ? "this schedule" : nullptr;
}

}  // namespace

Result<RunLength> run_length(const TrainOptions& options, std::int64_t updates_per_epoch) {
  RunLength length;
  Schedule& schedule = length.schedule;
  schedule.kind = schedule_named(options.schedule).value();
  if (const char* asking = asks_for_epochs(options, schedule.kind);
      asking != nullptr && updates_per_epoch <= 0) {
    return Status(StatusCode::invalid_argument,
                  fmt::format("{}: this task has no epochs; its length is given in updates", asking));
  }
  constexpr std::int64_t kMost = 1'000'000'000'000;
  if (options.epochs > 0 && options.epochs > kMost / updates_per_epoch)
    return invalid_setting("epochs", fmt::format("at most {}", kMost / updates_per_epoch), options.epochs);
  length.steps = options.epochs > 0 ? options.epochs * updates_per_epoch : options.steps;
  length.eval_every = options.eval_every > 0 ? options.eval_every : updates_per_epoch;
  length.checkpoint_every = options.checkpoint_every > 0 ? options.checkpoint_every : updates_per_epoch;
  schedule.peak = options.lr;
  schedule.steps = length.steps;
  schedule.warmup = options.warmup_epochs > 0 ? options.warmup_epochs * updates_per_epoch : options.warmup;
  schedule.warmup_start = options.warmup_start;
  schedule.warmup_hold = options.warmup_hold;
  schedule.min_ratio = options.min_lr_ratio;
  schedule.factor = options.decay_factor;
  schedule.epoch = std::max<std::int64_t>(updates_per_epoch, 1);
  schedule.decay_every = options.decay_every;
  schedule.decay_from = options.decay_from;
  schedule.rise = options.cycle_rise;
  if (schedule.kind != ScheduleKind::one_cycle && schedule.warmup >= length.steps) {
    return invalid_setting(options.warmup_epochs > 0 ? "warmup_epochs" : "warmup",
                           fmt::format("shorter than the run, which has {} updates", length.steps),
                           fmt::format("{} updates", schedule.warmup));
  }
  return length;
}

std::string_view in_epochs(std::string_view setting) noexcept {
  if (setting == "steps") return "epochs";
  if (setting == "warmup") return "warmup_epochs";
  return {};
}

void let_count(TrainOptions& options, std::string_view setting) noexcept {
  if (setting == "steps") options.epochs = 0;
  if (setting == "warmup") options.warmup_epochs = 0;
}

}  // namespace gradstab::lab
