#include "lab/run/run_directory.hpp"

#include <fmt/format.h>

#include <array>
#include <sstream>
#include <string>
#include <utility>

#include "lab/run/formats.hpp"
#include "lab/run/run_record.hpp"
#include "lab/support/files.hpp"
#include "lab/support/new_file.hpp"

namespace gradstab::lab {
namespace {

constexpr const char* kRun = kDescriptionName;
constexpr const char* kMetrics = kMetricsName;
constexpr const char* kSummary = kSummaryName;
constexpr const char* kExhibits = kExhibitsName;
constexpr std::array<const char*, 5> kFiles = {kRun, kMetrics, kSummary, kExhibits, "checkpoint.gsck"};

/// JSON has no NaN; nlohmann writes null for it, and odd bytes in names are replaced rather than refused.
std::string dump(const Json& value, int indent) {
  return value.dump(indent, ' ', false, Json::error_handler_t::replace);
}

/// What a run has written in a folder, of whatever is there.
std::vector<std::filesystem::path> files_of_run(const std::filesystem::path& folder) {
  std::vector<std::filesystem::path> files;
  std::error_code error;
  for (const char* name : kFiles)
    if (std::filesystem::exists(std::filesystem::symlink_status(folder / name, error)))
      files.push_back(folder / name);
  for (std::filesystem::directory_iterator entry(folder, error), end; !error && entry != end;
       entry.increment(error))
    if (is_own_event_file(entry->path().filename().string())) files.push_back(entry->path());
  return files;
}

/// Locks the folder and clears it of what killed writers have left.
Result<FolderLock> begin_work_in(const std::filesystem::path& path) {
  auto lock = FolderLock::acquire(path, FolderLock::HeldBy::this_process,
                                  fmt::format("another process is at work in '{}'", path.string()));
  if (lock) remove_abandoned_files(path);
  return lock;
}

}  // namespace

bool is_finished(const std::filesystem::path& directory) {
  const auto summary = read_json_object(directory / kSummary);
  return summary && summary->value("state", Json()) == "finished";
}

Result<Json> read_run_json(const std::filesystem::path& directory) {
  const auto text = read_file(directory / kRun, kDescriptionFile);
  if (!text) {
    return Status(text.status().code(), fmt::format("'{}' is not a run directory: {}", directory.string(),
                                                    text.status().message()));
  }
  auto run = parse_json_object(*text, (directory / kRun).string());
  if (!run) return run.status();
  for (const char* key : {"format", "settings"}) {
    if (run->contains(key)) continue;
    return Status(StatusCode::corrupt_data,
                  fmt::format("'{}' is not the run.json of a gradstab run: it has no '{}'",
                              (directory / kRun).string(), key));
  }
  const auto format = as_whole((*run)["format"]);
  if (!format || *format < kOldestRunFormat || *format > kRunFormat) {
    return Status(
        StatusCode::version_mismatch,
        fmt::format("'{}' has format {}, this program reads formats {} to {}", (directory / kRun).string(),
                    shown((*run)["format"]), kOldestRunFormat, kRunFormat));
  }
  return run;
}

Result<RunDirectory> RunDirectory::create(const std::filesystem::path& path, const Json& run, bool force) {
  std::error_code error;
  std::filesystem::create_directories(path, error);
  if (error || !std::filesystem::is_directory(path)) {
    return Status(StatusCode::io_error,
                  fmt::format("cannot create output folder '{}': {}", path.string(),
                              error ? error.message() : std::string("a file of that name is in the way")));
  }
  auto lock = begin_work_in(path);
  if (!lock) return lock.status();
  for (const std::filesystem::path& file : files_of_run(path)) {
    if (!force) {
      return Status(
          StatusCode::io_error,
          fmt::format("'{}' already holds a run; choose another --output, continue it with --resume, or "
                      "replace it with --force",
                      path.string()));
    }
    std::filesystem::remove(file, error);
    if (error) {
      return Status(StatusCode::io_error,
                    fmt::format("cannot remove '{}': {}", file.string(), error.message()));
    }
  }
  RunDirectory directory(path, *std::move(lock));
  GRADSTAB_RETURN_IF_ERROR(write_file_atomically(path / kRun, dump(run, 2) + "\n"));
  GRADSTAB_RETURN_IF_ERROR(directory.open_metrics());
  return directory;
}

Result<RunDirectory> RunDirectory::open(const std::filesystem::path& path) {
  auto lock = begin_work_in(path);
  if (!lock) return lock.status();
  return RunDirectory(path, *std::move(lock));
}

Status RunDirectory::go_back_to(std::int64_t step, std::int64_t evaluated, std::int64_t every) {
  const auto text = read_file(path_ / kMetrics, kMetricsFile);
  if (!text) return text.status();
  std::istringstream lines(*text);
  std::string kept;
  std::int64_t next = every;  // update of which a line is due
  for (std::string line; std::getline(lines, line);) {
    // A line cut off by a crash does not parse; it lies after the checkpoint by construction.
    const auto parsed = parse_json_object(line, "");
    if (!parsed) continue;
    const auto of_step = as_whole(parsed->value("step", Json()));
    const Json kind = parsed->value("kind", Json());
    // The test part is scored after the last checkpoint.
    if (!of_step || *of_step > (kind == "eval" ? evaluated : step) || kind == "test") continue;
    kept += line + "\n";
    if (*of_step == step) lines_of_that_step_.push_back(*parsed);
    if (kind != "step") continue;
    if (*of_step != next && gap_.empty())
      gap_ = fmt::format("'{}' lacks updates from {} on: it was cut or changed after they were written",
                         (path_ / kMetrics).string(), next);
    next = *of_step + every;
  }
  if (next <= step && gap_.empty())
    gap_ = fmt::format("'{}' lacks updates {} to {}: it was cut or changed after they were written",
                       (path_ / kMetrics).string(), next, step);
  GRADSTAB_RETURN_IF_ERROR(write_file_atomically(path_ / kMetrics, kept));
  std::error_code ignored;
  for (const char* name : {kSummary, kExhibits}) std::filesystem::remove(path_ / name, ignored);
  went_back_to_ = step;
  return open_metrics();
}

Status RunDirectory::also_write_events() {
  auto events = EventWriter::create(path_, went_back_to_);
  if (!events) return events.status();
  events_ = *std::move(events);
  for (const Json& line : lines_of_that_step_)
    GRADSTAB_RETURN_IF_ERROR(events_->write(*went_back_to_, scalars_of(line)));
  lines_of_that_step_.clear();
  return {};
}

Status RunDirectory::open_metrics() {
  auto metrics = open_for_appending(path_ / kMetrics);
  if (!metrics) return metrics.status();
  metrics_ = *std::move(metrics);
  return {};
}

Status RunDirectory::append_metrics(const Json& line) {
  GRADSTAB_RETURN_IF_ERROR(write_all(metrics_, path_ / kMetrics, dump(line, -1) + "\n"));
  if (!events_) return {};
  return events_->write(as_whole(line.value("step", Json())).value_or(0), scalars_of(line));
}

Status RunDirectory::write_exhibits(const Json& exhibits) {
  return write_file_atomically(path_ / kExhibits,
                               dump({{"format", kRunFormat}, {"exhibits", exhibits}}, -1) + "\n");
}

Status RunDirectory::write_summary(const Json& summary) {
  return write_file_atomically(path_ / kSummary, dump(summary, 2) + "\n");
}

}  // namespace gradstab::lab
