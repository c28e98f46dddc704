// Gradient spikes in a log, and what the loss did after them.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "lab/inspect/rules.hpp"
#include "lab/inspect/trace.hpp"

namespace gradstab::lab::inspect {

/// Norms whose median is what a norm is compared with.
inline constexpr std::size_t kMedianWindow = 101;
/// Norms that must be there before one is called a spike.
inline constexpr std::size_t kFewestNorms = 20;
/// A norm above this many medians is a spike.
inline constexpr double kSpikeRatio = 3.0;
/// Spikes with no more records than this from one to the next are one event.
inline constexpr std::int64_t kNear = 10;
/// An event of at least so many spikes is a burst.
inline constexpr std::int64_t kBurst = 3;

// The loss: how far above those before it counts as moved, and which records say whether it stayed.
inline constexpr std::size_t kLossesBefore = 10;
inline constexpr double kLossShare = 0.05;
inline constexpr double kLossDeviations = 3.0;
inline constexpr std::int64_t kLossAfterFirst = 3, kLossAfterLast = 12;
/// Losses that must be there, before and after, for anything to be said.
inline constexpr std::size_t kFewestLosses = 5;

/// What the loss did.
enum class LossFate : std::uint8_t {
  unknown,    ///< there is no loss beside it, or too few before it
  unmoved,    ///< it did not rise
  recovered,  ///< it rose and came back
  stayed,     ///< it rose, and was still up some records later
  open,       ///< it rose, and the log ends before it is known whether it stayed
};
inline constexpr std::size_t kLossFates = 5;
std::string_view to_string(LossFate fate) noexcept;

/// A tensor whose norm rose early in an event.
struct MovedTensor {
  std::string name;
  std::int64_t step = 0;  ///< at which it rose above kSpikeRatio times its own average
  double ratio = 0.0;     ///< how far it had risen at the event's first record
};

/// Spikes that are near each other.
struct Event {
  std::int64_t record = 0;       ///< place of the first spike in the log, from 0
  std::int64_t last_record = 0;  ///< of the last spike
  std::int64_t step = 0;         ///< of the first spike
  std::int64_t last_step = 0;
  std::int64_t peak_step = 0;
  double peak = 0.0;                     ///< the largest norm, or the first that is not finite
  double median = 0.0;                   ///< before the first spike; NaN where there were too few norms
  double size = 0.0;                     ///< peak / median; infinite for a norm that is not finite
  std::int64_t spikes = 0;               ///< records above the limit, or not finite
  bool nonfinite = false;                ///< one of its norms was NaN or infinite
  std::array<double, kRules> factors{};  ///< of each rule at the peak
  LossFate fate = LossFate::unknown;
  double loss_before = 0.0;  ///< mean of those before; NaN where unknown
  double loss_at = 0.0;      ///< the largest during it
  double loss_after = 0.0;   ///< median some records later; NaN where unknown
  std::vector<MovedTensor> tensors;
};

/// An event whose spikes or whose loss are not complete yet.
struct FollowedEvent {
  Event event;
  std::vector<double> before;  // losses
  std::vector<double> after;
  double limit = 0.0;  // above it the loss has moved
  bool seen = false;   // there was a loss beside it
  bool moved = false;
  std::int64_t since = 0;  // records after the last spike
};

/// Finds the events in a stream of records.
class EventWatch {
 public:
  /// `median`: of the norms before; NaN where they are too few. `moved`: asked for when an event begins.
  template <class MovedTensors>
  void add(const TraceRecord& record, double median, std::span<const double> factors, MovedTensors moved) {
    if (begin_record(record, median, factors)) open_->event.tensors = moved();
  }
  /// The log ends.
  void finish();

  /// All events so far that are complete, or the first kMostEvents of them.
  const std::vector<Event>& events() const noexcept { return events_; }
  /// Of all events.
  std::int64_t count() const noexcept { return count_; }
  /// Of all events, how many had each LossFate.
  const std::array<std::int64_t, kLossFates>& fates() const noexcept { return fates_; }
  /// The largest finite size of all events; 0 where there is none.
  double largest() const noexcept { return largest_; }
  /// Whether the last record belonged to one.
  bool in_spike() const noexcept { return in_spike_; }

  static constexpr std::size_t kMostEvents = 4096;

 private:
  bool begin_record(const TraceRecord& record, double median, std::span<const double> factors);
  void follow(FollowedEvent& following, const TraceRecord& record);
  void complete(FollowedEvent& following);

  std::int64_t records_ = 0;
  std::deque<double> losses_;            // the last finite ones
  std::optional<FollowedEvent> open_;    // spikes may still join it
  std::deque<FollowedEvent> following_;  // whose loss is awaited
  std::vector<Event> events_;
  std::int64_t count_ = 0;
  std::array<std::int64_t, kLossFates> fates_{};
  double largest_ = 0.0;
  bool in_spike_ = false;
};

}  // namespace gradstab::lab::inspect
