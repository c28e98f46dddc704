// The versions of what runs and reproductions write, and what the first of them left unsaid.
#pragma once

#include <cstdint>

#include "lab/support/json.hpp"
#include "lab/train/metric.hpp"

namespace gradstab::lab {

/// Of run.json, summary.json and metrics.jsonl. Since 2 run.json describes the task's numbers ("measures"),
/// and evaluations have a key for each metric.
inline constexpr std::int64_t kRunFormat = 2;
inline constexpr std::int64_t kOldestRunFormat = 1;

/// Of records.jsonl. Since 2 its header has the measures, and runs have a score.
inline constexpr std::int64_t kRecordsFormat = 2;
inline constexpr std::int64_t kOldestRecordsFormat = 1;

/// The name of the only task that format 1 had.
inline constexpr const char* kTaskOfFormat1 = "llm";

/// What format 1 meant without saying it: a language model, judged by its validation loss. `vocab_size` is
/// that of the model, or no number.
TaskInfo measures_of_format_1(double vocab_size);

}  // namespace gradstab::lab
