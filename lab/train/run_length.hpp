// How long a run is and when it looks up, in updates: what the settings say in updates or in epochs.
#pragma once

#include <cstdint>
#include <string_view>

#include "gradstab/status.hpp"
#include "lab/train/schedule.hpp"
#include "lab/train/train_options.hpp"

namespace gradstab::lab {

struct RunLength {
  std::int64_t steps = 0;
  std::int64_t eval_every = 0;
  std::int64_t checkpoint_every = 0;
  Schedule schedule;
};

/// Of valid options. `updates_per_epoch` is the task's; 0: it has no epochs. Errors: epochs where there are
/// none, a warm-up that is as long as the run.
Result<RunLength> run_length(const TrainOptions& options, std::int64_t updates_per_epoch);

/// The setting that says the same in epochs or, of one in epochs, in updates; empty if none does.
std::string_view other_length(std::string_view setting) noexcept;

/// Lets a length count that was just given, over the one in the other unit that a recipe gave.
void prefer_length(TrainOptions& options, std::string_view setting);

}  // namespace gradstab::lab
