// The folder of a sweep: sweep.json, one folder per run, logs/, results.json (docs/run-format.md).
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "gradstab/status.hpp"
#include "lab/support/folder_lock.hpp"
#include "lab/sweep/grid.hpp"

namespace gradstab::lab {

/// How far one run of a sweep is.
struct RunProgress {
  enum class Kind { untouched, begun, resumable, finished };
  Kind kind = Kind::untouched;
  std::int64_t step = 0;   ///< updates recorded so far
  std::int64_t steps = 0;  ///< of the whole run; a guess until it has begun, where its length is in epochs
  Json summary;            ///< of a finished run
};

/// What two calls must agree on to be the same sweep: the axes and all other settings but threads, which
/// change no result.
Json describe_sweep(const TrainOptions& base, const std::vector<SweepAxis>& axes);

/// One sweep at a time works in it, and only this sweep.
class SweepDirectory {
 public:
  /// Opens or begins the sweep and locks the folder, also for the processes that this one starts.
  /// `description` is an object that only this sweep has. Errors: the folder holds another sweep or something
  /// else, another process works in it, it cannot be written.
  static Result<SweepDirectory> open(const std::filesystem::path& path, const Json& description);

  std::filesystem::path run_path(const SweepPoint& point) const { return path_ / point.name; }
  std::filesystem::path log_path(const SweepPoint& point) const {
    return path_ / "logs" / (point.name + ".log");
  }
  RunProgress state_of(const SweepPoint& point) const;
  /// Frees the disk of a finished run's weights; what it measured stays.
  void drop_checkpoint(const SweepPoint& point) const;
  Status write_results(const Json& results) const;
  /// Empty; or, where nothing can keep other processes out, what the user must be told.
  const std::string& warning() const noexcept { return lock_.warning(); }

 private:
  SweepDirectory(std::filesystem::path path, FolderLock lock)
      : path_(std::move(path)), lock_(std::move(lock)) {}

  std::filesystem::path path_;
  FolderLock lock_;
};

}  // namespace gradstab::lab
