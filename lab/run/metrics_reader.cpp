#include "lab/run/metrics_reader.hpp"

#include <fmt/format.h>

#include <utility>
#include <vector>

#include "lab/support/files.hpp"
#include "lab/support/json.hpp"

namespace gradstab::lab {
namespace {

/// A line that goes back replaces what it goes back over, as a resumed run would have done.
template <class Point>
void append_in_order(std::vector<Point>& points, const Point& point, std::size_t line,
                     std::vector<std::string>& notes) {
  if (!points.empty() && points.back().step >= point.step) {
    notes.push_back(
        fmt::format("metrics.jsonl line {} goes back from step {} to step {}; the later lines are used.",
                    line, points.back().step, point.step));
    while (!points.empty() && points.back().step >= point.step) points.pop_back();
  }
  points.push_back(point);
}

/// What an evaluation has found. In format 1 the score was called "loss", and other metrics were written too.
std::vector<double> values_of(const JsonReader& json, const TaskInfo& measures) {
  std::vector<double> values;
  for (const Metric& metric : measures.metrics) {
    const bool is_score = values.empty();
    const char* const key = is_score && !json[metric.key].exists() ? "loss" : metric.key.c_str();
    values.push_back(json[key].number_or_nan());
  }
  return values;
}

Status add_object(const Json& object, const std::string& where, std::size_t line, RunRecord& run) {
  const JsonReader json(object, where);
  const std::string kind = json["kind"].text_or("");
  GRADSTAB_RETURN_IF_ERROR(json.status());
  if (kind.empty())
    return {StatusCode::corrupt_data, where + ": expected a 'kind' such as \"step\" or \"eval\""};
  if (kind == "step") {
    StepPoint point;
    point.step = json["step"].whole(0);
    point.loss = json["loss"].number_or_nan();
    point.learning_rate = json["lr"].number_or_nan();
    point.samples = json[run.measures.sample].number_or_nan();
    point.samples_per_second = json[run.measures.rate_key()].number_or_nan();
    point.seconds = json["seconds"].number_or_nan();
    point.grad_norm = json["grad_norm"].number_or_nan();
    point.stabilized_norm = json["stabilized_norm"].number_or_nan();
    point.spikes = json["spikes"].number_or_nan();
    point.nonfinite = json["nonfinite"].number_or_nan();
    GRADSTAB_RETURN_IF_ERROR(json.status());
    append_in_order(run.steps, point, line, run.notes);
  } else if (kind == "eval") {
    EvalPoint point;
    point.step = json["step"].whole(0);
    point.values = values_of(json, run.measures);
    GRADSTAB_RETURN_IF_ERROR(json.status());
    append_in_order(run.evaluations, point, line, run.notes);
  }
  return {};
}

}  // namespace

Status MetricsReader::add_line(std::string_view content, bool cut_off, RunRecord& run) {
  ++lines_;
  if (content.find_first_not_of(" \t\r") == std::string_view::npos) return {};
  const std::string where = fmt::format("{} line {}", path_.string(), lines_);
  const auto object = parse_json_object(content, where);
  if (!object && cut_off) {
    run.notes.push_back(fmt::format("metrics.jsonl line {}, the last, is cut off and was skipped.", lines_));
    return {};
  }
  if (!object) return object.status();
  return add_object(*object, where, lines_, run);
}

Status MetricsReader::add(std::string_view bytes, RunRecord& run) {
  while (true) {
    const std::size_t end = bytes.find('\n');
    if (end == std::string_view::npos) break;
    // Lines that lie within the piece are not copied.
    const std::string begun = std::exchange(waiting_, {});
    const std::string_view line = bytes.substr(0, end);
    GRADSTAB_RETURN_IF_ERROR(begun.empty() ? add_line(line, /*cut_off=*/false, run)
                                           : add_line(begun + std::string(line), /*cut_off=*/false, run));
    bytes.remove_prefix(end + 1);
  }
  if (waiting_.size() + bytes.size() > kMostJsonBytes) {
    return {StatusCode::corrupt_data, fmt::format("{} line {} has more than {}", path_.string(), lines_ + 1,
                                                  size_text(kMostJsonBytes))};
  }
  waiting_ += bytes;
  return {};
}

Status MetricsReader::finish(RunRecord& run) {
  const std::string last = std::exchange(waiting_, {});
  return last.empty() ? Status() : add_line(last, /*cut_off=*/true, run);
}

Json last_metrics_line(const std::filesystem::path& metrics, std::string_view kind) {
  constexpr std::size_t kTailBytes = 16 * 1024;  // several lines
  const auto read = read_end_of_file(metrics, kTailBytes);
  std::string_view tail = read ? std::string_view(*read) : std::string_view();
  tail = tail.substr(0, tail.rfind('\n') == std::string_view::npos ? 0 : tail.rfind('\n'));
  while (!tail.empty()) {
    const std::size_t previous = tail.rfind('\n');
    const std::size_t start = previous == std::string_view::npos ? 0 : previous + 1;
    auto line = parse_json_object(tail.substr(start), "");
    if (kind.empty()) return line ? *std::move(line) : Json::object();
    if (line && line->value("kind", Json()) == kind) return *std::move(line);
    tail = tail.substr(0, start == 0 ? 0 : start - 1);
  }
  return Json::object();
}

}  // namespace gradstab::lab
