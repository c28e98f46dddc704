#include "lab/run/run_record.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <string_view>
#include <system_error>
#include <utility>

#include "lab/run/formats.hpp"
#include "lab/support/files.hpp"
#include "lab/support/json.hpp"

namespace gradstab::lab {
namespace {

Status corrupt(const std::string& where, const std::string& what) {
  return {StatusCode::corrupt_data, where + ": " + what};
}

/// The object in `path` after its format number was checked.
Result<Json> read_versioned(const std::filesystem::path& path) {
  auto object = read_json_object(path);
  if (!object) return object;
  const auto format = as_whole(object->value("format", Json()));
  if (!format) return corrupt(path.string(), "not written by gradstab: expected an integer 'format'");
  if (*format < kOldestRunFormat || *format > kRunFormat) {
    return Status(StatusCode::version_mismatch,
                  fmt::format("{}: format {} is not known, expected {} to {}", path.string(), *format,
                              kOldestRunFormat, kRunFormat));
  }
  return object;
}

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

Status add_metrics_line(const Json& object, const std::string& where, std::size_t line, RunRecord& run) {
  const JsonReader json(object, where);
  const std::string kind = json["kind"].text_or("");
  GRADSTAB_RETURN_IF_ERROR(json.status());
  if (kind.empty()) return corrupt(where, "expected a 'kind' such as \"step\" or \"eval\"");
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

Status read_metrics(const std::filesystem::path& path, RunRecord& run) {
  std::error_code ignored;
  if (!std::filesystem::exists(path, ignored)) {
    run.notes.push_back("There is no metrics.jsonl yet.");
    return {};
  }
  Result<std::string> text = read_file(path, kMetricsFile);
  if (!text) return text.status();
  std::string_view rest = *text;
  for (std::size_t line = 1; !rest.empty(); ++line) {
    const std::size_t end = rest.find('\n');
    const bool cut_off = end == std::string_view::npos;
    const std::string_view content = rest.substr(0, end);
    rest.remove_prefix(cut_off ? rest.size() : end + 1);
    if (content.find_first_not_of(" \t\r") == std::string_view::npos) continue;
    const std::string where = fmt::format("{} line {}", path.string(), line);
    const auto object = parse_json_object(content, where);
    if (!object && cut_off) {
      run.notes.push_back(fmt::format("metrics.jsonl line {}, the last, is cut off and was skipped.", line));
      return {};
    }
    if (!object) return object.status();
    GRADSTAB_RETURN_IF_ERROR(add_metrics_line(*object, where, line, run));
  }
  return {};
}

Status read_summary(const std::filesystem::path& path, RunRecord& run) {
  std::error_code ignored;
  if (!std::filesystem::exists(path, ignored)) return {};
  const auto object = read_versioned(path);
  if (!object) return object.status();
  const JsonReader json(*object, path.string());
  RunSummary summary;
  summary.state = json["state"].text_or("");
  summary.step = json["step"].whole(0);
  for (const Metric& metric : run.measures.metrics)
    summary.final.push_back(json["final_" + metric.key].number_or_nan());
  summary.tested = object->contains("validation_" + run.measures.score().key);
  summary.best_score = json["best_" + run.measures.score().key].number_or_nan();
  summary.spikes = json["spikes"].number_or_nan();
  summary.nonfinite = json["nonfinite"].number_or_nan();
  summary.diverged = json["diverged"].truth_or(false);
  summary.seconds = json["seconds"].number_or_nan();
  summary.samples_per_second = json[run.measures.rate_key()].number_or_nan();
  if (summary.state != "finished" && summary.state != "interrupted")
    json["state"].refuse("\"finished\" or \"interrupted\"");
  GRADSTAB_RETURN_IF_ERROR(json.status());
  run.summary = summary;
  return {};
}

Status read_exhibits(const std::filesystem::path& path, RunRecord& run) {
  std::error_code ignored;
  if (!std::filesystem::exists(path, ignored)) return {};
  const auto object = read_versioned(path);
  if (!object) return object.status();
  const JsonReader exhibits = JsonReader(*object, path.string())["exhibits"];
  for (std::size_t i = 0; i < exhibits.size(); ++i) run.exhibits.emplace_back(exhibits.item(i).object());
  return exhibits.status();
}

}  // namespace

std::vector<std::filesystem::path> run_directories(const std::filesystem::path& path) {
  std::error_code ignored;
  std::vector<std::filesystem::path> runs;
  if (!std::filesystem::exists(path / "run.json", ignored)) {
    for (const auto& entry : std::filesystem::directory_iterator(path, ignored))
      if (std::filesystem::exists(entry.path() / "run.json", ignored)) runs.push_back(entry.path());
  }
  if (runs.empty()) return {path};
  std::ranges::sort(runs);
  return runs;
}

Result<RunRecord> read_run(const std::filesystem::path& directory) {
  std::error_code ignored;
  if (!std::filesystem::exists(directory, ignored)) {
    return Status(StatusCode::io_error, fmt::format("'{}' does not exist", directory.string()));
  }
  if (!std::filesystem::is_directory(directory, ignored)) {
    return Status(StatusCode::corrupt_data,
                  fmt::format("'{}' is not a run directory: it is a file", directory.string()));
  }
  const std::filesystem::path run_file = directory / "run.json";
  if (!std::filesystem::exists(run_file, ignored)) {
    return Status(StatusCode::corrupt_data,
                  fmt::format("'{}' is not a run directory: it holds no run.json", directory.string()));
  }
  const auto object = read_versioned(run_file);
  if (!object) return object.status();

  RunRecord run;
  run.directory = directory;
  const JsonReader json(*object, run_file.string());
  run.name = json["name"].text_or("");
  run.task = json["task"].text_or("");
  run.command = json["command"].text_or("");
  run.settings = json["settings"].object_or_empty();
  run.model = json["model"].object_or_empty();
  run.data = json["data"].object_or_empty();
  run.environment = json["environment"].object_or_empty();
  const JsonReader model = json["model"];
  run.measures = as_whole(object->value("format", Json())) == kOldestRunFormat
                     ? measures_of_format_1(model.exists() ? model["vocab_size"].number_or_nan() : kNoValue)
                     : task_info_from_json(json["measures"]);
  if (run.command.empty() && json["settings"].exists()) run.command = json["settings"]["command"].text_or("");
  GRADSTAB_RETURN_IF_ERROR(json.status());
  if (run.name.empty())
    run.name = std::filesystem::absolute(directory, ignored).lexically_normal().filename().string();
  GRADSTAB_RETURN_IF_ERROR(read_metrics(directory / "metrics.jsonl", run));
  GRADSTAB_RETURN_IF_ERROR(read_summary(directory / "summary.json", run));
  GRADSTAB_RETURN_IF_ERROR(read_exhibits(directory / "exhibits.json", run));
  return run;
}

}  // namespace gradstab::lab
