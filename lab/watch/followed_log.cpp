#include "lab/watch/followed_log.hpp"

#include <algorithm>
#include <system_error>
#include <utility>

#include "lab/inspect/readers/open.hpp"

namespace gradstab::lab::watch {
namespace {

/// Of the time, at most one part in so many is spent with reading a log again.
constexpr int kPatience = 20;

std::vector<std::filesystem::path> files_of(const std::filesystem::path& path) {
  std::error_code ignored;
  if (!std::filesystem::is_directory(path, ignored)) return {path};
  if (std::filesystem::exists(path / kDescriptionName, ignored))
    return {path / kDescriptionName, path / kMetricsName};
  return inspect::logs_named_in(path);
}

}  // namespace

bool FollowedLog::look(std::int64_t now) {
  const Standing before = standing_;
  decltype(files_) found;
  std::int64_t changed = 0;
  for (std::filesystem::path& file : files_of(path_)) {
    const auto stamp = stamp_of(file);
    if (!stamp) continue;
    changed = std::max(changed, stamp->changed);
    found.emplace_back(std::move(file), *stamp);
  }
  standing_.gone = found.empty();
  standing_.changed = changed;
  standing_.fresh = now - changed < kFresh;
  files_ = std::move(found);
  return before != standing_;
}

bool FollowedLog::read(Clock::time_point now) {
  if (files_ == files_read_ || now < next_reading_) return false;
  const auto before = files_;
  std::vector<inspect::Inspected> inspected;
  standing_.trouble.clear();
  auto traces = inspect::open_traces(path_, {});
  if (!traces) standing_.trouble = traces.status().message();
  for (const inspect::Trace& trace : traces ? *traces : std::vector<inspect::Trace>()) {
    auto findings = inspect::analyse(trace, {});
    if (!findings) {
      standing_.trouble = findings.status().message();
      continue;
    }
    auto verdict = inspect::judge(*findings);
    standing_.step = findings->overview.last_step;
    standing_.loss = findings->points.empty() ? kNoValue : findings->points.back().loss;
    inspected.push_back({*std::move(findings), std::move(verdict)});
  }
  // What is being written may be no log for a moment: what was read of it stays.
  if (!inspected.empty() || standing_.trouble.empty()) inspected_ = std::move(inspected);
  files_read_ = before;
  const auto end = Clock::now();
  next_reading_ = end + kPatience * (end - now);
  return true;
}

void FollowedLog::forget() {
  inspected_.clear();
  files_read_.clear();
}

}  // namespace gradstab::lab::watch
