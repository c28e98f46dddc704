#include "lab/train/run_directory.hpp"

#include <fmt/format.h>

#include <array>
#include <sstream>
#include <string>
#include <utility>

#include "lab/support/files.hpp"
#include "lab/support/new_file.hpp"

namespace gradstab::lab {
namespace {

constexpr int kFormat = 1;
constexpr const char* kRun = "run.json";
constexpr const char* kMetrics = "metrics.jsonl";
constexpr const char* kSummary = "summary.json";
constexpr std::array<const char*, 4> kFiles = {kRun, kMetrics, kSummary, "checkpoint.gsck"};

/// JSON has no NaN; nlohmann writes null for it, and odd bytes in names are replaced rather than refused.
std::string dump(const nlohmann::ordered_json& value, int indent) {
  return value.dump(indent, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
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
  const auto text = read_file(directory / kSummary, kDescriptionFile);
  const auto summary = nlohmann::json::parse(text ? *text : std::string(), nullptr, false);
  return summary.is_object() && summary.value("state", nlohmann::json()) == "finished";
}

Result<nlohmann::ordered_json> read_run_json(const std::filesystem::path& directory) {
  const auto text = read_file(directory / kRun, kDescriptionFile);
  if (!text) {
    return Status(text.status().code(), fmt::format("'{}' is not a run directory: {}", directory.string(),
                                                    text.status().message()));
  }
  auto run = nlohmann::ordered_json::parse(*text, nullptr, false);
  if (!run.is_object() || !run.contains("settings") || !run.contains("format")) {
    return Status(StatusCode::corrupt_data,
                  fmt::format("'{}' is not the run.json of a gradstab run", (directory / kRun).string()));
  }
  if (run["format"] != kFormat) {
    return Status(StatusCode::version_mismatch,
                  fmt::format("'{}' has format {}, this program reads format {}", (directory / kRun).string(),
                              run["format"].dump(), kFormat));
  }
  return run;
}

Result<RunDirectory> RunDirectory::create(const std::filesystem::path& path,
                                          const nlohmann::ordered_json& run, bool force) {
  std::error_code error;
  std::filesystem::create_directories(path, error);
  if (error || !std::filesystem::is_directory(path)) {
    return Status(StatusCode::io_error,
                  fmt::format("cannot create output folder '{}': {}", path.string(),
                              error ? error.message() : std::string("a file of that name is in the way")));
  }
  auto lock = begin_work_in(path);
  if (!lock) return lock.status();
  for (const char* name : kFiles) {
    if (!std::filesystem::exists(std::filesystem::symlink_status(path / name, error))) continue;
    if (!force) {
      return Status(
          StatusCode::io_error,
          fmt::format("'{}' already holds a run; choose another --output, continue it with --resume, or "
                      "replace it with --force",
                      path.string()));
    }
    std::filesystem::remove(path / name, error);
    if (error) {
      return Status(StatusCode::io_error,
                    fmt::format("cannot remove '{}': {}", (path / name).string(), error.message()));
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

Status RunDirectory::go_back_to(std::int64_t step) {
  const auto text = read_file(path_ / kMetrics, kMetricsFile);
  if (!text) return text.status();
  std::istringstream lines(*text);
  std::string kept;
  for (std::string line; std::getline(lines, line);) {
    const auto parsed = nlohmann::json::parse(line, nullptr, false);
    // A line cut off by a crash does not parse; it lies after the checkpoint by construction.
    if (parsed.is_object() && parsed.value("step", step + 1) <= step) kept += line + "\n";
  }
  GRADSTAB_RETURN_IF_ERROR(write_file_atomically(path_ / kMetrics, kept));
  std::error_code ignored;
  std::filesystem::remove(path_ / kSummary, ignored);
  return open_metrics();
}

Status RunDirectory::open_metrics() {
  auto metrics = open_for_appending(path_ / kMetrics);
  if (!metrics) return metrics.status();
  metrics_ = *std::move(metrics);
  return {};
}

Status RunDirectory::append_metrics(const nlohmann::ordered_json& line) {
  return write_all(metrics_, path_ / kMetrics, dump(line, -1) + "\n");
}

Status RunDirectory::write_summary(const nlohmann::ordered_json& summary) {
  return write_file_atomically(path_ / kSummary, dump(summary, 2) + "\n");
}

}  // namespace gradstab::lab
