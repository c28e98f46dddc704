// metrics.jsonl taken apart, as a whole or as it grows.
#pragma once

#include <cstddef>
#include <filesystem>
#include <string>
#include <string_view>

#include "gradstab/status.hpp"
#include "lab/run/run_record.hpp"

namespace gradstab::lab {

/// Adds the points of metrics.jsonl to a run, in whatever pieces its bytes come.
class MetricsReader {
 public:
  /// `path` is for messages.
  explicit MetricsReader(std::filesystem::path path) : path_(std::move(path)) {}

  /// The next bytes. What follows the last end of a line waits for the rest of its line. Errors name the
  /// path, the line and what was expected; nothing more can be added then.
  Status add(std::string_view bytes, RunRecord& run);

  /// The file ends here: what waits is the last line. One that is cut off is a note of the run.
  Status finish(RunRecord& run);

 private:
  Status add_line(std::string_view content, bool cut_off, RunRecord& run);

  std::filesystem::path path_;
  std::size_t lines_ = 0;
  std::string waiting_;
};

/// The last whole line of a metrics.jsonl, or the last of that kind among the last few, without reading what
/// lies before them. An empty object where there is none.
Json last_metrics_line(const std::filesystem::path& metrics, std::string_view kind = {});

}  // namespace gradstab::lab
