#include "lab/train/run_directory.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <sstream>
#include <string>
#include <utility>

#include "lab/support/files.hpp"

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

}  // namespace

Result<nlohmann::ordered_json> read_run_json(const std::filesystem::path& directory) {
  const auto text = read_file(directory / kRun);
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
  for (const char* name : kFiles) {
    if (!std::filesystem::exists(path / name)) continue;
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
  RunDirectory directory(path);
  GRADSTAB_RETURN_IF_ERROR(write_file_atomically(path / kRun, dump(run, 2) + "\n"));
  GRADSTAB_RETURN_IF_ERROR(directory.open_metrics());
  return directory;
}

Result<RunDirectory> RunDirectory::reopen(const std::filesystem::path& path, std::int64_t step) {
  const auto text = read_file(path / kMetrics);
  if (!text) return text.status();
  std::istringstream lines(*text);
  std::string kept;
  for (std::string line; std::getline(lines, line);) {
    const auto parsed = nlohmann::json::parse(line, nullptr, false);
    // A line cut off by a crash does not parse; it lies after the checkpoint by construction.
    if (parsed.is_object() && parsed.value("step", step + 1) <= step) kept += line + "\n";
  }
  GRADSTAB_RETURN_IF_ERROR(write_file_atomically(path / kMetrics, kept));
  std::error_code ignored;
  std::filesystem::remove(path / kSummary, ignored);
  RunDirectory directory(path);
  GRADSTAB_RETURN_IF_ERROR(directory.open_metrics());
  return directory;
}

RunDirectory::RunDirectory(RunDirectory&& other) noexcept
    : path_(std::move(other.path_)), metrics_(std::exchange(other.metrics_, -1)) {}

RunDirectory& RunDirectory::operator=(RunDirectory&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(metrics_, other.metrics_);
  return *this;
}

RunDirectory::~RunDirectory() {
  if (metrics_ >= 0) ::close(metrics_);
}

Status RunDirectory::open_metrics() {
  const std::filesystem::path path = path_ / kMetrics;
  metrics_ = ::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (metrics_ >= 0) return {};
  return {StatusCode::io_error, fmt::format("cannot open '{}': {}", path.string(), system_error_text(errno))};
}

Status RunDirectory::append_metrics(const nlohmann::ordered_json& line) {
  const std::string text = dump(line, -1) + "\n";
  ssize_t written;
  do {
    written = ::write(metrics_, text.data(), text.size());
  } while (written < 0 && errno == EINTR);
  if (written == static_cast<ssize_t>(text.size())) return {};
  return {StatusCode::io_error, fmt::format("cannot write '{}': {}", (path_ / kMetrics).string(),
                                            system_error_text(written < 0 ? errno : ENOSPC))};
}

Status RunDirectory::write_summary(const nlohmann::ordered_json& summary) {
  return write_file_atomically(path_ / kSummary, dump(summary, 2) + "\n");
}

}  // namespace gradstab::lab
