// The directory of one training run (docs/run-format.md).
#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string_view>

#include "gradstab/status.hpp"

namespace gradstab::lab {

/// Writes the files of a run. Every write is checked: a full disk is an error, not a gap.
class RunDirectory {
 public:
  /// A new run. Errors: the path holds a run already (unless `force`, which removes that run's files and
  /// nothing else), it is a file, or it cannot be written.
  static Result<RunDirectory> create(const std::filesystem::path& path, const nlohmann::ordered_json& run,
                                     bool force);

  /// An existing run, to be continued after `step`: later lines of its metrics are dropped.
  static Result<RunDirectory> reopen(const std::filesystem::path& path, std::int64_t step);

  RunDirectory(RunDirectory&& other) noexcept;
  RunDirectory& operator=(RunDirectory&& other) noexcept;
  ~RunDirectory();

  const std::filesystem::path& path() const noexcept { return path_; }
  std::filesystem::path checkpoint_path() const { return path_ / "checkpoint.gsck"; }

  /// Appends one line to metrics.jsonl.
  Status append_metrics(const nlohmann::ordered_json& line);
  Status write_summary(const nlohmann::ordered_json& summary);

 private:
  explicit RunDirectory(std::filesystem::path path) : path_(std::move(path)) {}
  Status open_metrics();

  std::filesystem::path path_;
  int metrics_ = -1;
};

/// The parsed run.json of a directory. Errors: not a run, another format version.
Result<nlohmann::ordered_json> read_run_json(const std::filesystem::path& directory);

}  // namespace gradstab::lab
