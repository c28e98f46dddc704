// One run directory (docs/run-format.md) as plain data.
#pragma once

#include <cstdint>
#include <filesystem>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "gradstab/status.hpp"

namespace gradstab::lab {

/// What stands in a record where the file holds `null` or no such key.
inline constexpr double kNoValue = std::numeric_limits<double>::quiet_NaN();

/// A metrics line of kind "step". Missing and `null` figures are NaN.
struct StepPoint {
  std::int64_t step = 0;            ///< optimizer updates done so far
  double loss = kNoValue;           ///< training batch, nats per token
  double learning_rate = kNoValue;  ///< of this update
  double tokens = kNoValue;         ///< cumulative
  double tokens_per_second = kNoValue;
  double seconds = kNoValue;          ///< cumulative, interruptions not counted
  double grad_norm = kNoValue;        ///< global norm of the raw gradient
  double stabilized_norm = kNoValue;  ///< global norm after the transform
  double spikes = kNoValue;           ///< tensors flagged as spikes in this step
  double nonfinite = kNoValue;        ///< tensors with a non-finite gradient in this step
};

/// A metrics line of kind "eval".
struct EvalPoint {
  std::int64_t step = 0;
  double loss = kNoValue;        ///< held-out part, nats per token
  double perplexity = kNoValue;  ///< exp(loss) where the task has one
};

/// The contents of summary.json.
struct RunSummary {
  std::string state;  ///< "finished" or "interrupted"
  std::int64_t step = 0;
  double final_validation_loss = kNoValue;
  double final_perplexity = kNoValue;
  double best_validation_loss = kNoValue;
  double spikes = kNoValue;     ///< flagged tensors over all steps
  double nonfinite = kNoValue;  ///< tensors with a non-finite gradient over all steps
  bool diverged = false;
  double seconds = kNoValue;
  double tokens_per_second = kNoValue;  ///< median over steps
};

/// One run: what was asked for, what it ran on, what it measured.
struct RunRecord {
  std::filesystem::path directory;
  std::string name;
  std::string task;
  std::string command;  ///< the command line, empty if not recorded
  nlohmann::json settings = nlohmann::json::object();
  nlohmann::json model = nlohmann::json::object();
  nlohmann::json data = nlohmann::json::object();
  nlohmann::json environment = nlohmann::json::object();
  std::vector<StepPoint> steps;        ///< strictly increasing `step`
  std::vector<EvalPoint> evaluations;  ///< strictly increasing `step`
  std::optional<RunSummary> summary;   ///< absent while the run is in progress and after it was killed
  std::vector<std::string> notes;      ///< what was tolerated while reading, one sentence each
};

/// Reads run.json, metrics.jsonl and summary.json. A missing summary.json or metrics.jsonl and a last metrics
/// line cut off in the middle are what a running or killed run leaves: tolerated, with a note. Unknown keys
/// and kinds are skipped. Anything else is an error that names the path, the line and what was expected.
Result<RunRecord> read_run(const std::filesystem::path& directory);

/// Whether runs with the same settings of data and tokenizer read the same data, as far as they recorded its
/// SHA-256: the runs of a sweep are compared with each other. The error names two that did not.
Status check_common_data(std::span<const RunRecord> runs);

/// The run directories that a path stands for: those directly in it, by name, where it is none itself, as a
/// sweep and a reproduction leave them; else the path, whatever read_run says of it.
std::vector<std::filesystem::path> run_directories(const std::filesystem::path& path);

}  // namespace gradstab::lab
