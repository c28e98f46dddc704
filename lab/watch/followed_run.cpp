#include "lab/watch/followed_run.hpp"

#include <algorithm>
#include <cmath>
#include <tuple>
#include <utility>

#include "lab/support/folder_lock.hpp"
#include "lab/support/json.hpp"

namespace gradstab::lab::watch {
namespace {

/// Read at a time: some ten thousand lines.
constexpr std::size_t kPieceBytes = std::size_t{4} << 20;

/// What a sweep says of a run of its own that failed; empty where it says nothing.
std::string failure_of(const std::filesystem::path& run) {
  const auto results = read_json_object(run.parent_path() / "results.json");
  if (!results || !results->contains("runs") || !(*results)["runs"].is_array()) return {};
  for (const Json& entry : (*results)["runs"]) {
    if (!entry.is_object() || entry.value("name", Json()) != run.filename().string()) continue;
    if (entry.value("state", Json()) != "failed") return {};
    return as_text(entry.value("error", Json())).value_or("it failed");
  }
  return {};
}

/// Of an object that need not be one.
std::int64_t whole_of(const nlohmann::json& object, const char* key) {
  const auto value = object.is_object() ? object.find(key) : object.end();
  return value != object.end() && value->is_number_integer() ? value->get<std::int64_t>() : 0;
}

}  // namespace

bool Standing::operator==(const Standing& other) const {
  const bool same_loss = loss == other.loss || (std::isnan(loss) && std::isnan(other.loss));
  return same_loss &&
         std::tie(step, steps, changed, trouble, gone, fresh) ==
             std::tie(other.step, other.steps, other.changed, other.trouble, other.gone, other.fresh);
}

FollowedRun::FollowedRun(std::filesystem::path folder)
    : folder_(std::move(folder)), file_(folder_ / kMetricsName), reader_(folder_ / kMetricsName) {}

void FollowedRun::forget_points() {
  record_.steps = {};
  record_.evaluations = {};
  record_.notes.clear();
  reader_ = MetricsReader(folder_ / kMetricsName);
  trouble_of_metrics_.clear();
}

void FollowedRun::forget() {
  forget_points();
  file_ = GrowingFile(folder_ / kMetricsName);
}

void FollowedRun::gather_troubles() {
  standing_.trouble.clear();
  for (const std::string* trouble : {&trouble_of_description_, &trouble_of_end_, &trouble_of_metrics_})
    if (standing_.trouble.empty()) standing_.trouble = *trouble;
}

void FollowedRun::begin_anew() {
  forget();
  summary_ = exhibits_ = metrics_ = results_ = std::nullopt;
  standing_ = {};
  trouble_of_description_.clear();
  trouble_of_end_.clear();
  auto read = read_run_description(folder_);
  if (!read) {
    record_ = {};
    record_.directory = folder_;
    trouble_of_description_ = read.status().message();
    return;
  }
  record_ = *std::move(read);
  standing_.steps = record_.updates > 0 ? record_.updates : whole_of(record_.settings, "steps");
}

bool FollowedRun::look(std::int64_t now) {
  const Standing before = standing_;
  const RunState state = this->state();
  const auto description = stamp_of(folder_ / kDescriptionName);
  standing_.gone = !description;
  if (!description) return before != standing_;
  const bool anew = description != description_;
  if (anew) {
    description_ = description;
    begin_anew();
  }
  const bool ended = look_at_end();
  look_at_metrics();
  standing_.fresh = now - std::max(standing_.changed, description->changed) < kFresh;
  look_at_work();
  gather_troubles();
  return anew || ended || before != standing_ || state != this->state();
}

bool FollowedRun::look_at_end() {
  const auto summary = stamp_of(folder_ / kSummaryName);
  const auto exhibits = stamp_of(folder_ / kExhibitsName);
  if (summary == summary_ && exhibits == exhibits_) return false;
  summary_ = summary;
  exhibits_ = exhibits;
  if (record_.measures.metrics.empty()) return true;  // of a description that could not be read
  const Status status = read_run_end(record_);
  trouble_of_end_ = status.ok() ? "" : status.message();
  return true;
}

void FollowedRun::look_at_metrics() {
  const auto metrics = stamp_of(folder_ / kMetricsName);
  if (metrics == metrics_) return;
  metrics_ = metrics;
  standing_.changed = metrics ? metrics->changed : 0;
  if (!metrics || metrics->bytes == 0) {
    standing_.step = 0;
    standing_.loss = kNoValue;
    return;
  }
  Json line = last_metrics_line(folder_ / kMetricsName);
  if (const auto step = as_whole(line.value("step", Json()))) standing_.step = *step;
  // A line of an evaluation has no loss of a batch.
  if (line.value("kind", Json()) != "step") line = last_metrics_line(folder_ / kMetricsName, "step");
  standing_.loss = as_number(line.value("loss", Json())).value_or(kNoValue);
}

void FollowedRun::look_at_work() {
  if (record_.summary) {
    record_.at_work.reset();
    record_.failure.clear();
    return;
  }
  record_.at_work = is_at_work(folder_);
  if (!record_.at_work && standing_.fresh) record_.at_work = true;
  if (record_.at_work != false) {
    record_.failure.clear();
    results_.reset();
    return;
  }
  const auto results = stamp_of(folder_.parent_path() / "results.json");
  if (results == results_) return;
  results_ = results;
  record_.failure = results ? failure_of(folder_) : "";
}

bool FollowedRun::read(Clock::time_point end) {
  if (record_.measures.metrics.empty()) return false;
  bool changed = false;
  do {
    auto piece = file_.read(kPieceBytes);
    if (!piece) {
      if (metrics_) {
        trouble_of_metrics_ = piece.status().message();
      } else if (!record_.steps.empty() || !record_.evaluations.empty()) {
        forget();
        changed = true;
      }
      break;
    }
    if (piece->anew) {
      forget_points();
      changed = true;
    }
    if (piece->bytes.empty()) break;
    changed = true;
    if (!trouble_of_metrics_.empty()) continue;  // after a line that is none, nothing more is read
    const Status status = reader_.add(piece->bytes, record_);
    if (!status.ok()) trouble_of_metrics_ = status.message();
  } while (Clock::now() < end);
  const Standing before = standing_;
  gather_troubles();
  return changed || before != standing_;
}

double FollowedRun::part_read() const noexcept {
  return file_.size() == 0 ? 1.0 : static_cast<double>(file_.position()) / static_cast<double>(file_.size());
}

}  // namespace gradstab::lab::watch
