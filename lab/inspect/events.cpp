#include "lab/inspect/events.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <utility>

#include "lab/inspect/running_median.hpp"

namespace gradstab::lab::inspect {
namespace {

constexpr double kUnknown = std::numeric_limits<double>::quiet_NaN();

/// The loss above which it has moved, by those before.
double limit_of(const std::vector<double>& before, double& mean) {
  mean = std::accumulate(before.begin(), before.end(), 0.0) / static_cast<double>(before.size());
  double squares = 0.0;
  for (const double loss : before) squares += (loss - mean) * (loss - mean);
  const double deviation = std::sqrt(squares / static_cast<double>(before.size() - 1));
  return mean + std::max(kLossShare * std::abs(mean), kLossDeviations * deviation);
}

}  // namespace

std::string_view to_string(LossFate fate) noexcept {
  switch (fate) {
    case LossFate::unknown:
      return "unknown";
    case LossFate::unmoved:
      return "did not move";
    case LossFate::recovered:
      return "rose and recovered";
    case LossFate::stayed:
      return "rose and stayed";
    case LossFate::open:
      return "rose, the log ends";
  }
  return "";
}

/// True where an event begins with this record.
bool EventWatch::begin_record(const TraceRecord& record, double median, std::span<const double> factors) {
  const bool finite = std::isfinite(record.norm);
  in_spike_ = !finite || (std::isfinite(median) && record.norm > kSpikeRatio * median);
  bool begins = false;
  if (in_spike_) {
    begins = !open_.has_value();
    if (begins) {
      open_.emplace();
      Event& event = open_->event;
      event.record = records_;
      event.step = record.step;
      event.median = median;
      event.peak = -1.0;
      event.loss_before = event.loss_after = kUnknown;
      event.loss_at = record.loss.value_or(kUnknown);
      open_->before.assign(losses_.begin(), losses_.end());
      open_->limit = kUnknown;
      if (open_->before.size() >= kFewestLosses) open_->limit = limit_of(open_->before, event.loss_before);
    }
    Event& event = open_->event;
    event.last_record = records_;
    event.last_step = record.step;
    ++event.spikes;
    open_->since = -1;
    open_->after.clear();
    // A norm that is no number is larger than any.
    if (!event.nonfinite && (!finite || record.norm > event.peak)) {
      event.peak = record.norm;
      event.peak_step = record.step;
      event.size = finite ? record.norm / event.median : HUGE_VAL;
      std::ranges::copy(factors, event.factors.begin());
    }
    event.nonfinite = event.nonfinite || !finite;
  }
  if (open_) follow(*open_, record);
  for (FollowedEvent& each : following_) follow(each, record);
  while (!following_.empty() && following_.front().since >= kLossAfterLast) {
    complete(following_.front());
    following_.pop_front();
  }
  if (open_ && open_->since >= kNear) {
    following_.push_back(std::move(*open_));
    open_.reset();
  }
  if (record.loss && std::isfinite(*record.loss)) {
    losses_.push_back(*record.loss);
    if (losses_.size() > kLossesBefore) losses_.pop_front();
  }
  ++records_;
  return begins && open_;
}

/// One record more after, or of, an event.
void EventWatch::follow(FollowedEvent& following, const TraceRecord& record) {
  ++following.since;
  if (!record.loss) return;
  Event& event = following.event;
  // The loss of a step is computed before its update: what a spike's update does is seen at the next one.
  if (following.since <= 1) {
    following.seen = true;
    following.moved = following.moved || !std::isfinite(*record.loss) || *record.loss > following.limit;
    if (!(event.loss_at >= *record.loss)) event.loss_at = *record.loss;
  }
  if (following.since >= kLossAfterFirst && following.since <= kLossAfterLast)
    following.after.push_back(*record.loss);
}

void EventWatch::complete(FollowedEvent& following) {
  Event& event = following.event;
  const bool enough_after = following.after.size() >= kFewestLosses;
  if (enough_after) event.loss_after = median_of(following.after);
  if (std::isnan(following.limit) || !following.seen) {
    event.fate = LossFate::unknown;
  } else if (!following.moved) {
    event.fate = LossFate::unmoved;
  } else if (!enough_after) {
    event.fate = LossFate::open;
  } else {
    event.fate = event.loss_after > following.limit ? LossFate::stayed : LossFate::recovered;
  }
  ++count_;
  ++fates_[static_cast<std::size_t>(event.fate)];
  if (std::isfinite(event.size)) largest_ = std::max(largest_, event.size);
  if (events_.size() < kMostEvents) events_.push_back(std::move(event));
}

void EventWatch::finish() {
  for (FollowedEvent& each : following_) complete(each);
  following_.clear();
  if (open_) complete(*open_);
  open_.reset();
}

}  // namespace gradstab::lab::inspect
