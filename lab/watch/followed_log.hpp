// A log of any program that is read again when it has grown.
#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

#include "lab/inspect/inspect_page.hpp"
#include "lab/support/growing_file.hpp"
#include "lab/watch/followed_run.hpp"

namespace gradstab::lab::watch {

/// What open_traces of lab/inspect reads. Nothing in its folder is ever written.
class FollowedLog {
 public:
  /// A log; a folder with logs; or the folder of a run, as inspect sees it.
  explicit FollowedLog(std::filesystem::path path) : path_(std::move(path)) {}

  /// Looks whether its files have changed. `now` is in nanoseconds since 1970. Returns whether anything that
  /// is shown is another one.
  bool look(std::int64_t now);

  /// Reads and judges all of it, where it has changed since it was read, and where the last reading is twenty
  /// times as long ago as it took. Returns whether it did.
  bool read(Clock::time_point now);
  void forget();

  const std::filesystem::path& path() const noexcept { return path_; }
  const std::vector<inspect::Inspected>& inspected() const noexcept { return inspected_; }
  const Standing& standing() const noexcept { return standing_; }

 private:
  std::filesystem::path path_;
  std::vector<std::pair<std::filesystem::path, FileStamp>> files_, files_read_;
  std::vector<inspect::Inspected> inspected_;
  Standing standing_;
  Clock::time_point next_reading_{};
};

}  // namespace gradstab::lab::watch
