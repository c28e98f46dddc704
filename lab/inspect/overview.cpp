#include "lab/inspect/overview.hpp"

#include <algorithm>
#include <cmath>

namespace gradstab::lab::inspect {
namespace {

/// How near to the largest a norm counts as clipped to the same limit: logs have two to four decimals, and
/// clip_grad_norm_ leaves a millionth.
constexpr double kAtLimit = 2e-3;
/// Of the norms, and how many at least, for a plateau.
constexpr double kPlateauShare = 0.02;
constexpr std::int64_t kPlateauNorms = 5;
/// Different strides that are told apart.
constexpr std::size_t kMostGaps = 256;

}  // namespace

std::optional<double> round_number_at(double value) {
  if (!(value > 0.0) || !std::isfinite(value)) return std::nullopt;
  const double power = std::pow(10.0, std::floor(std::log10(value)));
  for (const double digit : {1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0})
    if (std::abs(value / power - digit) <= kAtLimit * digit) return digit * power;
  return std::nullopt;
}

bool OverviewSink::record(const TraceRecord& record) {
  Overview& o = overview_;
  if (o.records == 0) o.first_step = record.step;
  if (o.records > 0 && record.step > o.last_step) {
    const std::int64_t gap = record.step - o.last_step;
    if (gaps_.contains(gap) || gaps_.size() < kMostGaps)
      ++gaps_[gap];
    else
      ++other_gaps_;
  }
  o.last_step = record.step;
  ++o.records;
  if (record.loss) ++o.losses;
  const double norm = record.norm;
  o.nonfinite_at_end = std::isfinite(norm) ? 0 : o.nonfinite_at_end + 1;
  if (!std::isfinite(norm)) {
    ++o.nonfinite;
  } else if (norm == 0.0) {
    ++o.zeros;
  } else if (norm < 0.0) {
    ++o.negative;
  } else {
    ++o.finite;
    norms_.add(norm);
    o.smallest = std::min(o.smallest, norm);
    if (norm > o.largest) {
      at_largest_ = o.largest >= norm * (1.0 - kAtLimit) ? at_largest_ : 0;
      o.largest = norm;
    }
    if (norm >= o.largest * (1.0 - kAtLimit)) ++at_largest_;
  }
  return true;
}

Overview OverviewSink::result() const {
  Overview o = overview_;
  o.median = o.constant() ? o.largest : norms_.quantile(0.5);
  std::int64_t all = other_gaps_, most = 0;
  for (const auto& [gap, count] : gaps_) {
    all += count;
    if (count > most) most = count, o.stride = gap;
  }
  if (all > 0) o.stride_share = static_cast<double>(most) / static_cast<double>(all);
  if (o.finite > 0 && !o.constant()) {
    const double share = static_cast<double>(at_largest_) / static_cast<double>(o.finite);
    if (at_largest_ >= kPlateauNorms && share >= kPlateauShare) {
      o.plateau = round_number_at(o.largest);
      o.plateau_share = share;
    }
  }
  return o;
}

}  // namespace gradstab::lab::inspect
