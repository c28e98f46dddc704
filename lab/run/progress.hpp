// How far a run has come.
#pragma once

#include <cstdint>
#include <vector>

#include "lab/support/json.hpp"
#include "lab/train/metric.hpp"

namespace gradstab::lab {

/// Everything about a run's progress that a checkpoint must bring back beside weights and states.
struct Progress {
  std::int64_t step = 0;
  std::int64_t samples = 0;
  double seconds = 0.0;
  std::int64_t spikes = 0;
  std::int64_t nonfinite = 0;
  std::int64_t spikes_written = 0;  ///< of them, in lines of metrics.jsonl
  std::int64_t nonfinite_written = 0;
  std::int64_t evaluated = 0;            ///< the step of the latest evaluation; 0 before the first
  std::vector<double> values = {};       ///< of all metrics, by the latest evaluation; empty before the first
  std::vector<double> best_values = {};  ///< by the best evaluation

  /// The latest score; no number before the first evaluation.
  double score() const noexcept { return values.empty() ? kNoValue : values.front(); }
  double best_score() const noexcept { return best_values.empty() ? kNoValue : best_values.front(); }
};

/// Null for what is not finite, which JSON cannot say.
Json number(double value);

/// Samples and values stand under the task's own names: "tokens", "validation_loss", "best_validation_loss".
Json to_json(const Progress& progress, const TaskInfo& info);

/// Of a run of so many updates. What is missing or does not fit is a complaint of `json`.
Progress progress_from_json(const JsonReader& json, const TaskInfo& info, std::int64_t steps);

}  // namespace gradstab::lab
