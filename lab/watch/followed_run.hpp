// One run's folder while somebody else writes it.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "lab/report/verdict.hpp"
#include "lab/run/metrics_reader.hpp"
#include "lab/run/run_record.hpp"
#include "lab/support/growing_file.hpp"

namespace gradstab::lab::watch {

using Clock = std::chrono::steady_clock;

/// What a list says of a run or a log.
struct Standing {
  std::int64_t step = 0;     ///< of the last line
  std::int64_t steps = 0;    ///< of the whole run; 0: not known
  double loss = kNoValue;    ///< of the last line that has one
  std::int64_t changed = 0;  ///< when the last line was written, in nanoseconds since 1970; 0: never
  std::string trouble;       ///< what cannot be read, and why; empty: nothing
  bool gone = false;         ///< it was deleted
  bool fresh = false;        ///< the last line is younger than kFresh

  bool operator==(const Standing& other) const;
};

/// Who has written within so many nanoseconds is at work, where no lock says it.
inline constexpr std::int64_t kFresh = 60'000'000'000;

/// A run that is followed. Nothing in its folder is ever written.
class FollowedRun {
 public:
  explicit FollowedRun(std::filesystem::path folder);

  /// Looks whether its files have changed, and reads the small ones and the last line of the metrics again if
  /// so. `now` is in nanoseconds since 1970. Returns whether anything that is shown is another one.
  bool look(std::int64_t now);

  /// Reads the lines that are new, until all are read or until `end`, at least one piece of the file. Returns
  /// whether there were any.
  bool read(Clock::time_point end);
  /// Forgets the points: they are read again when they are asked for.
  void forget();

  const std::filesystem::path& folder() const noexcept { return folder_; }
  /// With as many points as were read.
  const RunRecord& record() const noexcept { return record_; }
  const Standing& standing() const noexcept { return standing_; }
  RunState state() const { return state_of(record_); }
  /// Of its metrics, what is read: in [0, 1].
  double part_read() const noexcept;

 private:
  void begin_anew();
  void forget_points();
  void gather_troubles();
  void look_at_metrics();
  bool look_at_end();
  void look_at_work();

  std::filesystem::path folder_;
  std::optional<FileStamp> description_, summary_, exhibits_, metrics_, results_;
  RunRecord record_;
  Standing standing_;
  std::string trouble_of_description_, trouble_of_end_, trouble_of_metrics_;
  GrowingFile file_;
  MetricsReader reader_;
};

}  // namespace gradstab::lab::watch
