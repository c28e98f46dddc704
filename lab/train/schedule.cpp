#include "lab/train/schedule.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace gradstab::lab {
namespace {

/// Half a cosine from `from` at 0 to `to` at 1.
double between(double from, double to, double progress) {
  return to + (from - to) * 0.5 * (1.0 + std::cos(std::numbers::pi * progress));
}

double one_cycle(const Schedule& schedule, std::int64_t k) {
  constexpr double kFirst = 25.0;  // the peak divided by the first rate
  constexpr double kLast = 1e4;    // the first rate divided by the last
  const double first = schedule.peak / kFirst;
  const double last = static_cast<double>(schedule.steps - 1);
  const double top = std::max(schedule.rise * static_cast<double>(schedule.steps) - 1.0, 0.0);
  const double at = std::min(static_cast<double>(k), last);
  if (at <= top) return top > 0.0 ? between(first, schedule.peak, at / top) : schedule.peak;
  return between(schedule.peak, first / kLast, (at - top) / (last - top));
}

}  // namespace

std::string_view to_string(ScheduleKind kind) noexcept {
  switch (kind) {
    case ScheduleKind::cosine:
      return "cosine";
    case ScheduleKind::linear:
      return "linear";
    case ScheduleKind::constant:
      return "constant";
    case ScheduleKind::step:
      return "step";
    case ScheduleKind::exponential:
      return "exponential";
    case ScheduleKind::one_cycle:
      return "one_cycle";
  }
  return "";
}

std::optional<ScheduleKind> schedule_named(std::string_view name) noexcept {
  for (const ScheduleKind kind : kSchedules)
    if (to_string(kind) == name) return kind;
  return {};
}

bool counts_epochs(ScheduleKind kind) noexcept {
  return kind == ScheduleKind::step || kind == ScheduleKind::exponential;
}

bool has_warmup(ScheduleKind kind) noexcept {
  return kind != ScheduleKind::one_cycle;
}

double Schedule::at(std::int64_t k) const noexcept {
  if (per_epoch) k -= k % epoch;
  if (kind == ScheduleKind::one_cycle) return one_cycle(*this, k);
  if (k < warmup) {
    if (warmup_hold) return peak * warmup_start;
    // Not one formula, so that the rates of runs that are kept stay what they are, to the last bit.
    if (warmup_start <= 0.0) return peak * static_cast<double>(k) / static_cast<double>(warmup);
    return peak *
           (warmup_start + (1.0 - warmup_start) * static_cast<double>(k) / static_cast<double>(warmup));
  }
  const auto length = static_cast<double>(std::max<std::int64_t>(steps - warmup, 1));
  const double progress = std::min(static_cast<double>(k - warmup) / length, 1.0);
  switch (kind) {
    case ScheduleKind::linear:
      return peak * (1.0 - (1.0 - min_ratio) * progress);
    case ScheduleKind::constant:
      return peak;
    case ScheduleKind::step:
      return peak * std::pow(factor, static_cast<double>(k / epoch / decay_every));
    case ScheduleKind::exponential:
      return peak * std::pow(factor, static_cast<double>(std::max<std::int64_t>(k / epoch - decay_from, 0)));
    case ScheduleKind::cosine:
    case ScheduleKind::one_cycle:
      break;
  }
  return peak * between(1.0, min_ratio, progress);
}

}  // namespace gradstab::lab
