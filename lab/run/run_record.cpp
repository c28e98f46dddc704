#include "lab/run/run_record.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <string_view>
#include <system_error>
#include <utility>

#include "lab/run/formats.hpp"
#include "lab/run/metrics_reader.hpp"
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

Status read_metrics(const std::filesystem::path& path, RunRecord& run) {
  std::error_code ignored;
  if (!std::filesystem::exists(path, ignored)) {
    run.notes.push_back("There is no metrics.jsonl yet.");
    return {};
  }
  Result<std::string> text = read_file(path, kMetricsFile);
  if (!text) return text.status();
  MetricsReader reader(path);
  GRADSTAB_RETURN_IF_ERROR(reader.add(*text, run));
  return reader.finish(run);
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
  if (!std::filesystem::exists(path / kDescriptionName, ignored)) {
    for (const auto& entry : std::filesystem::directory_iterator(path, ignored))
      if (std::filesystem::exists(entry.path() / kDescriptionName, ignored)) runs.push_back(entry.path());
  }
  if (runs.empty()) return {path};
  std::ranges::sort(runs);
  return runs;
}

Result<RunRecord> read_run_description(const std::filesystem::path& directory) {
  std::error_code ignored;
  if (!std::filesystem::exists(directory, ignored)) {
    return Status(StatusCode::io_error, fmt::format("'{}' does not exist", directory.string()));
  }
  if (!std::filesystem::is_directory(directory, ignored)) {
    return Status(StatusCode::corrupt_data,
                  fmt::format("'{}' is not a run directory: it is a file", directory.string()));
  }
  const std::filesystem::path run_file = directory / kDescriptionName;
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
  run.updates = json["updates"].whole_or(0);
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
  return run;
}

Status read_run_end(RunRecord& run) {
  run.summary.reset();
  run.exhibits = nlohmann::json::array();
  GRADSTAB_RETURN_IF_ERROR(read_summary(run.directory / kSummaryName, run));
  return read_exhibits(run.directory / kExhibitsName, run);
}

Result<RunRecord> read_run(const std::filesystem::path& directory) {
  auto run = read_run_description(directory);
  if (!run) return run;
  GRADSTAB_RETURN_IF_ERROR(read_metrics(directory / kMetricsName, *run));
  GRADSTAB_RETURN_IF_ERROR(read_run_end(*run));
  return run;
}

}  // namespace gradstab::lab
