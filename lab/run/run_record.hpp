// One run directory (docs/run-format.md) as plain data.
#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "gradstab/status.hpp"
#include "lab/train/metric.hpp"

namespace gradstab::lab {

// The files of a run's folder that are read back.
inline constexpr const char* kDescriptionName = "run.json";
inline constexpr const char* kMetricsName = "metrics.jsonl";
inline constexpr const char* kSummaryName = "summary.json";
inline constexpr const char* kExhibitsName = "exhibits.json";

/// A metrics line of kind "step". Missing and `null` figures are NaN.
struct StepPoint {
  std::int64_t step = 0;            ///< optimizer updates done so far
  double loss = kNoValue;           ///< training batch
  double learning_rate = kNoValue;  ///< of this update
  double samples = kNoValue;        ///< cumulative
  double samples_per_second = kNoValue;
  double seconds = kNoValue;          ///< cumulative, interruptions not counted
  double grad_norm = kNoValue;        ///< global norm of the raw gradient
  double stabilized_norm = kNoValue;  ///< global norm after the transform
  double spikes = kNoValue;           ///< tensors flagged as spikes since the point before
  double nonfinite = kNoValue;        ///< tensors with a non-finite gradient, likewise
};

/// A metrics line of kind "eval".
struct EvalPoint {
  std::int64_t step = 0;
  std::vector<double> values;  ///< of every metric, in the order of the measures

  double score() const noexcept { return values.empty() ? kNoValue : values.front(); }
};

/// The contents of summary.json.
struct RunSummary {
  std::string state;  ///< "finished" or "interrupted"
  std::int64_t step = 0;
  std::vector<double> final;  ///< value of every metric at the end, in the order of the measures
  bool tested = false;        ///< the final values are those of the test part
  double best_score = kNoValue;
  double spikes = kNoValue;     ///< flagged tensors over all steps
  double nonfinite = kNoValue;  ///< tensors with a non-finite gradient over all steps
  bool diverged = false;
  double seconds = kNoValue;
  double samples_per_second = kNoValue;  ///< median over steps

  double score() const noexcept { return final.empty() ? kNoValue : final.front(); }
};

/// One run: what was asked for, what it ran on, what it measured.
struct RunRecord {
  std::filesystem::path directory;
  std::string name;
  std::string task;
  std::string command;       ///< the command line, empty if not recorded
  TaskInfo measures;         ///< what its numbers mean
  std::int64_t updates = 0;  ///< of the whole run; 0: it has not recorded that
  nlohmann::json settings = nlohmann::json::object();
  nlohmann::json model = nlohmann::json::object();
  nlohmann::json data = nlohmann::json::object();
  nlohmann::json environment = nlohmann::json::object();
  std::vector<StepPoint> steps;                       ///< strictly increasing `step`
  std::vector<EvalPoint> evaluations;                 ///< strictly increasing `step`
  nlohmann::json exhibits = nlohmann::json::array();  ///< what a page can show beside numbers
  std::optional<RunSummary> summary;  ///< absent while the run is in progress and after it was killed
  std::optional<bool> at_work;        ///< whether its process was still there, where somebody asked
  std::string failure;                ///< why its process ended, where whoever started it says that it failed
  std::vector<std::string> notes;     ///< what was tolerated while reading, one sentence each
};

/// Reads run.json, metrics.jsonl and summary.json. A missing summary.json or metrics.jsonl and a last metrics
/// line cut off in the middle are what a running or killed run leaves: tolerated, with a note. Unknown keys
/// and kinds are skipped. Anything else is an error that names the path, the line and what was expected.
Result<RunRecord> read_run(const std::filesystem::path& directory);

/// The same without metrics, summary and exhibits.
Result<RunRecord> read_run_description(const std::filesystem::path& directory);

/// Replaces what summary.json and exhibits.json say, which may not be there. Errors: as above.
Status read_run_end(RunRecord& run);

/// The run directories that a path stands for: those directly in it, by name, where it is none itself, as a
/// sweep and a reproduction leave them; else the path, whatever read_run says of it.
std::vector<std::filesystem::path> run_directories(const std::filesystem::path& path);

}  // namespace gradstab::lab
