#include "lab/sweep/sweep.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>
#include <sstream>
#include <thread>

#include "lab/support/files.hpp"
#include "lab/sweep/process.hpp"
#include "lab/train/task_kind.hpp"

namespace gradstab::lab {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int kInterrupted = 130;  // of a run that was asked to stop

/// The settings that differ from the task's defaults, as `train` takes them.
std::vector<std::string> flags_of(const TrainOptions& options) {
  std::vector<std::string> flags;
  const Json defaults = to_json(default_options(*options.kind));
  const Json settings = to_json(options);
  for (const auto& [key, value] : settings.items()) {
    if (value == defaults.at(key)) continue;
    std::string flag = flag_of(key);
    const std::string text = as_text(value).value_or(value.dump());
    if (!value.is_boolean()) flag += "=" + text;
    flags.push_back(std::move(flag));
  }
  return flags;
}

/// What a run said when it gave up: its last error, or the last line where there is none.
std::string last_words(const std::string& text) {
  const std::string prefix = "gradstab: ";
  std::istringstream lines(text);
  std::string last;
  std::string error;
  for (std::string line; std::getline(lines, line);) {
    if (line.find_first_not_of(" \t\r") != std::string::npos) last = line;
    if (line.starts_with(prefix)) error = line.substr(prefix.size());
  }
  return error.empty() ? last : error;
}

std::uintmax_t size_of(const std::filesystem::path& file) {
  std::error_code failure;
  const std::uintmax_t size = std::filesystem::file_size(file, failure);
  return failure ? 0 : size;
}

class Sweep {
 public:
  Sweep(const SweepDirectory& directory, const std::vector<SweepPoint>& points, const SweepRequest& request)
      : directory_(directory), request_(request) {
    for (const SweepPoint& point : points) results_.emplace_back().point = point;
    steps_.assign(points.size(), 0);
    for (const SweepPoint& point : points) length_.push_back(point.options.steps);
  }

  Result<std::vector<SweepResult>> run();

 private:
  struct Running {
    std::size_t index;
    std::uintmax_t log_begin;  ///< what earlier calls have logged
    Process process;
  };

  void read_earlier_progress();
  Status start_next();
  Status start(std::size_t index);
  Result<bool> collect();
  void finish(const Running& running, const ProcessEnd& end);
  std::string reason_of(const Running& running, const ProcessEnd& end) const;
  Status write_results() const;
  SweepProgress progress();
  bool stopping() const { return request_.should_stop && request_.should_stop(); }

  const SweepDirectory& directory_;
  const SweepRequest& request_;
  std::vector<SweepResult> results_;
  std::vector<std::int64_t> steps_;   // recorded by each run
  std::vector<std::int64_t> length_;  // of each run
  std::int64_t steps_before_ = 0;     // those of earlier calls
  std::vector<Running> running_;
  std::size_t next_ = 0;
  Clock::time_point begin_ = Clock::now();
};

void Sweep::read_earlier_progress() {
  for (std::size_t i = 0; i < results_.size(); ++i) {
    const RunProgress state = directory_.state_of(results_[i].point);
    steps_[i] = state.step;
    length_[i] = state.steps;
    steps_before_ += state.step;
    if (state.kind != RunProgress::Kind::finished) continue;
    results_[i].state = SweepResult::State::finished;
    results_[i].skipped = true;
    results_[i].summary = state.summary;
  }
}

Status Sweep::start(std::size_t index) {
  const SweepPoint& point = results_[index].point;
  const std::string folder = directory_.run_path(point);
  const RunProgress state = directory_.state_of(point);
  std::vector<std::string> command = {request_.program, "train", std::string(point.options.kind->name())};
  if (state.kind == RunProgress::Kind::resumable) {
    command.push_back("--resume=" + folder);
  } else {
    TrainOptions options = point.options;
    const int cores = static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
    if (options.threads == 0 && request_.jobs > 1) options.threads = std::max(1, cores / request_.jobs);
    for (std::string& flag : flags_of(options)) command.push_back(std::move(flag));
    command.push_back("--output=" + folder);
    command.push_back("--name=" + point.name);
    if (state.kind == RunProgress::Kind::begun) command.emplace_back("--force");
  }
  const std::uintmax_t log_begin = size_of(directory_.log_path(point));
  if (request_.ignore_limits) command.emplace_back("--ignore-limits");
  auto process = Process::start(command, directory_.log_path(point));
  if (!process) return process.status();
  running_.push_back({index, log_begin, *std::move(process)});
  return {};
}

Status Sweep::start_next() {
  while (!stopping() && next_ < results_.size() &&
         running_.size() < static_cast<std::size_t>(request_.jobs)) {
    const std::size_t index = next_++;
    if (results_[index].state == SweepResult::State::pending) GRADSTAB_RETURN_IF_ERROR(start(index));
  }
  return {};
}

/// Why a run has failed.
std::string Sweep::reason_of(const Running& running, const ProcessEnd& end) const {
  constexpr std::uintmax_t kMostLogBytes = 64 * 1024;
  if (end.signal != 0) return signal_text(end.signal);
  if (end.exit_code == kInterrupted) return "was stopped from outside";
  const std::filesystem::path log = directory_.log_path(results_[running.index].point);
  const std::uintmax_t size = size_of(log);
  const std::uintmax_t own = size - std::min(size, running.log_begin);
  const auto text = read_end_of_file(log, static_cast<std::size_t>(std::min(own, kMostLogBytes)));
  return text ? last_words(*text) : "";
}

void Sweep::finish(const Running& running, const ProcessEnd& end) {
  SweepResult& result = results_[running.index];
  const RunProgress state = directory_.state_of(result.point);
  steps_[running.index] = state.step;
  if (end.exit_code == kInterrupted && stopping()) return;  // pending: it goes on with the next call
  if (end.exit_code == 0 && state.kind == RunProgress::Kind::finished) {
    result.state = SweepResult::State::finished;
    result.summary = state.summary;
    return;
  }
  result.state = SweepResult::State::failed;
  result.exit_code = end.exit_code;
  result.error = reason_of(running, end);
}

/// Whether any run has ended.
Result<bool> Sweep::collect() {
  bool any = false;
  for (std::size_t i = running_.size(); i-- > 0;) {
    const auto end = running_[i].process.poll();
    if (!end) continue;
    finish(running_[i], *end);
    running_.erase(running_.begin() + static_cast<std::ptrdiff_t>(i));
    any = true;
  }
  if (any) GRADSTAB_RETURN_IF_ERROR(write_results());
  return any;
}

SweepProgress Sweep::progress() {
  SweepProgress progress;
  progress.runs = results_.size();
  double total = 0.0;
  double done = 0.0;
  for (const Running& running : running_) {
    const RunProgress state = directory_.state_of(results_[running.index].point);
    steps_[running.index] = state.step;
    length_[running.index] = state.steps;
    progress.current += (progress.current.empty() ? "" : "  ") + results_[running.index].point.name;
  }
  for (std::size_t i = 0; i < results_.size(); ++i) {
    const bool ended = results_[i].state != SweepResult::State::pending;
    const auto steps = static_cast<double>(length_[i]);
    total += steps;
    done += ended ? steps : std::min(steps, static_cast<double>(steps_[i]));
    progress.done += ended ? 1 : 0;
    progress.failed += results_[i].state == SweepResult::State::failed ? 1 : 0;
  }
  progress.fraction = done / total;
  const double seconds = std::chrono::duration<double>(Clock::now() - begin_).count();
  const double gained = done - static_cast<double>(steps_before_);
  progress.seconds_left =
      gained > 0.0 ? seconds * (total - done) / gained : std::numeric_limits<double>::quiet_NaN();
  return progress;
}

Status Sweep::write_results() const {
  Json runs = Json::array();
  for (const SweepResult& result : results_) {
    Json run = {
        {"name", result.point.name}, {"settings", Json::object()}, {"state", to_string(result.state)}};
    for (const auto& [key, value] : result.point.settings) run["settings"][key] = value;
    if (result.state == SweepResult::State::failed) {
      run["exit_code"] = result.exit_code;
      run["error"] = result.error;
    }
    const std::string score = result.point.options.kind->info().score().key;
    for (const std::string& key : {"final_" + score, "best_" + score, std::string("diverged"),
                                   std::string("spikes"), std::string("seconds")}) {
      if (result.summary.is_object() && result.summary.contains(key)) run[key] = result.summary[key];
    }
    runs.push_back(std::move(run));
  }
  return directory_.write_results({{"format", 1}, {"kind", "sweep results"}, {"runs", runs}});
}

Result<std::vector<SweepResult>> Sweep::run() {
  constexpr auto kPoll = std::chrono::milliseconds(50);
  constexpr int kPollsPerProgress = 10;
  read_earlier_progress();
  GRADSTAB_RETURN_IF_ERROR(write_results());
  bool interrupted = false;
  for (int poll = 0;; ++poll) {
    GRADSTAB_RETURN_IF_ERROR(start_next());
    if (running_.empty()) break;
    std::this_thread::sleep_for(kPoll);
    if (stopping() && !interrupted) {
      interrupted = true;
      for (const Running& running : running_) running.process.interrupt();
    }
    const auto ended = collect();
    if (!ended) return ended.status();
    if (request_.on_progress && (*ended || poll % kPollsPerProgress == 0)) request_.on_progress(progress());
  }
  return results_;
}

}  // namespace

std::string_view to_string(SweepResult::State state) {
  switch (state) {
    case SweepResult::State::pending:
      return "pending";
    case SweepResult::State::finished:
      return "finished";
    case SweepResult::State::failed:
      return "failed";
  }
  return "unknown";
}

Status check_machine(const std::vector<SweepPoint>& points, const Machine& machine, int jobs) {
  const int at_once = std::min(jobs, static_cast<int>(points.size()));
  for (const SweepPoint& point : points) {
    const Status fits = check_machine(point.options, machine, at_once);
    if (!fits.ok()) return {fits.code(), fmt::format("run '{}': {}", point.name, fits.message())};
  }
  return {};
}

Result<std::vector<SweepResult>> run_sweep(const SweepDirectory& directory,
                                           const std::vector<SweepPoint>& points,
                                           const SweepRequest& request) {
  return Sweep(directory, points, request).run();
}

}  // namespace gradstab::lab
