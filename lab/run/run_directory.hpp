// The directory of one training run (docs/run-format.md).
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "gradstab/status.hpp"
#include "lab/run/event_writer.hpp"
#include "lab/support/descriptor.hpp"
#include "lab/support/folder_lock.hpp"
#include "lab/support/json.hpp"

namespace gradstab::lab {

/// Where the checkpoint of the run in `directory` is.
inline std::filesystem::path checkpoint_path(const std::filesystem::path& directory) {
  return directory / "checkpoint.gsck";
}

/// Writes the files of a run, which it keeps other processes from doing. Every write is checked: a full disk
/// is an error, not a gap.
class RunDirectory {
 public:
  /// A new run. Errors: another process is at work in the folder, the path holds a run already (unless
  /// `force`, which removes that run's files and nothing else), it is a file, or it cannot be written.
  static Result<RunDirectory> create(const std::filesystem::path& path, const Json& run, bool force);

  /// An existing run, as it is. Errors: another process is at work in it, or it cannot be written.
  static Result<RunDirectory> open(const std::filesystem::path& path);

  /// Of an opened run: makes it one of `step` updates of which the one at `evaluated` was the last to be
  /// evaluated, so that it can be continued. Later lines of its metrics, of which every `every`-th update has
  /// one, are dropped.
  Status go_back_to(std::int64_t step, std::int64_t evaluated, std::int64_t every);

  /// From now on each line of the metrics is also written to a TensorBoard event file of its own in the
  /// folder. After go_back_to that file makes void what others have from that step on, and has the lines of
  /// that step again that were kept.
  Status also_write_events();

  const std::filesystem::path& path() const noexcept { return path_; }
  std::filesystem::path checkpoint_path() const { return lab::checkpoint_path(path_); }
  /// Empty; or, where nothing can keep other processes out, what the user must be told.
  const std::string& warning() const noexcept { return lock_.warning(); }

  /// Empty; or, after go_back_to, which updates its metrics lack, as a sentence.
  const std::string& gap() const noexcept { return gap_; }

  /// Appends one line to metrics.jsonl, and its numbers to the event file if there is one.
  Status append_metrics(const Json& line);
  Status write_summary(const Json& summary);
  /// What a page can show beside numbers, a list (lab/page/exhibits.hpp).
  Status write_exhibits(const Json& exhibits);

 private:
  RunDirectory(std::filesystem::path path, FolderLock lock)
      : path_(std::move(path)), lock_(std::move(lock)) {}
  Status open_metrics();

  std::filesystem::path path_;
  FolderLock lock_;
  Descriptor metrics_;
  std::string gap_;
  std::optional<EventWriter> events_;
  std::optional<std::int64_t> went_back_to_;
  std::vector<Json> lines_of_that_step_;
};

/// Whether the run in `directory` says that it has finished. What cannot be read says nothing.
bool is_finished(const std::filesystem::path& directory);

/// The parsed run.json of a directory. Errors: not a run, another format version.
Result<Json> read_run_json(const std::filesystem::path& directory);

}  // namespace gradstab::lab
