#include "lab/train/run_length.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "lab/train/setting_checks.hpp"
#include "lab/train/task_kind.hpp"

namespace gradstab::lab {
namespace {

/// A length that can be given in updates or in epochs, which count where they are not 0.
struct Length {
  std::string_view updates, epochs;
  std::int64_t TrainOptions::*in_updates;
  std::int64_t TrainOptions::*in_epochs;
};
constexpr Length kLengths[] = {
    {"steps", "epochs", &TrainOptions::steps, &TrainOptions::epochs},
    {"warmup", "warmup_epochs", &TrainOptions::warmup, &TrainOptions::warmup_epochs}};

/// What asks for epochs; null if nothing does.
const char* asks_for_epochs(const TrainOptions& options, ScheduleKind kind) {
  if (options.epochs > 0) return "epochs";
  if (options.warmup_epochs > 0) return "warmup_epochs";
  if (options.lr_per_epoch) return "lr_per_epoch";
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
  schedule.per_epoch = options.lr_per_epoch;
  schedule.decay_every = options.decay_every;
  schedule.decay_from = options.decay_from;
  schedule.rise = options.cycle_rise;
  if (has_warmup(schedule.kind) && schedule.warmup >= length.steps) {
    return invalid_setting(options.warmup_epochs > 0 ? "warmup_epochs" : "warmup",
                           fmt::format("shorter than the run, which has {} updates", length.steps),
                           fmt::format("{} updates", schedule.warmup));
  }
  return length;
}

std::string_view other_length(std::string_view setting) noexcept {
  for (const Length& length : kLengths) {
    if (setting == length.updates) return length.epochs;
    if (setting == length.epochs) return length.updates;
  }
  return {};
}

void prefer_length(TrainOptions& options, std::string_view setting) {
  for (const Length& length : kLengths) {
    if (setting == length.updates) options.*length.in_epochs = 0;
    if (setting != length.epochs || options.*length.in_epochs == 0) continue;
    options.*length.in_updates =
        (options.kind == nullptr ? TrainOptions() : default_options(*options.kind)).*length.in_updates;
  }
}

}  // namespace gradstab::lab
