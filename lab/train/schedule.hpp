// The learning rate over the updates of a run, as a function of the update's number alone.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace gradstab::lab {

enum class ScheduleKind : std::uint8_t { cosine, linear, constant, step, exponential, one_cycle };

/// All of them, in the order of the help text.
inline constexpr ScheduleKind kSchedules[] = {ScheduleKind::cosine,      ScheduleKind::linear,
                                              ScheduleKind::constant,    ScheduleKind::step,
                                              ScheduleKind::exponential, ScheduleKind::one_cycle};

/// "cosine"
std::string_view to_string(ScheduleKind kind) noexcept;

std::optional<ScheduleKind> schedule_named(std::string_view name) noexcept;

/// Whether the rule counts epochs, which not every task has.
bool counts_epochs(ScheduleKind kind) noexcept;

/// Whether it begins with a linear warm-up: all but one_cycle do, which rises by its own rule.
bool has_warmup(ScheduleKind kind) noexcept;

/// Lengths are in optimizer updates unless they say epochs. All but one_cycle begin with a linear warm-up.
///
/// cosine: from the peak down to `min_ratio` of it (the recipe of LLaMA pre-training in the GaLore code
/// base). linear: likewise, in a straight line. constant: the peak. step: times `factor` after every
/// `decay_every` epochs. exponential: times `factor` with every epoch beyond the first `decay_from`
/// (PatchTST's "type3" with 0.9 and 3: it sets the rate after each epoch, so that the first four have the
/// peak). one_cycle: up from peak / 25 over `rise` of the run, then down to peak / 250000, both along a
/// cosine (L. N. Smith and N. Topin, arXiv 1708.07120, with PyTorch's defaults).
struct Schedule {
  ScheduleKind kind = ScheduleKind::cosine;
  double peak = 1e-3;
  std::int64_t warmup = 0;
  double warmup_start = 0.0;  ///< the first update's share of the peak
  bool warmup_hold = false;   ///< the share does not rise during the warm-up
  std::int64_t steps = 1;     ///< of the whole run
  double min_ratio = 0.1;
  double factor = 0.1;
  std::int64_t epoch = 1;  ///< updates in one
  bool per_epoch = false;  ///< all updates of an epoch have the rate of its first
  std::int64_t decay_every = 1;
  std::int64_t decay_from = 0;
  double rise = 0.3;

  /// Learning rate of update `k`, counted from 0. During warm-up from `warmup_start` of the peak, which the
  /// update after it has; from `steps` on the rate stays where the rule ends.
  double at(std::int64_t k) const noexcept;
};

}  // namespace gradstab::lab
