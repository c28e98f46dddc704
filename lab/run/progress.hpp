// How far a run has come.
#pragma once

#include <cstdint>
#include <limits>

#include "lab/support/json.hpp"

namespace gradstab::lab {

/// Everything about a run's progress that a checkpoint must bring back beside weights and states.
struct Progress {
  std::int64_t step = 0;
  std::int64_t tokens = 0;
  double seconds = 0.0;
  std::int64_t spikes = 0;
  std::int64_t nonfinite = 0;
  double validation_loss = std::numeric_limits<double>::quiet_NaN();
  double best_validation_loss = std::numeric_limits<double>::quiet_NaN();
};

/// Null for what is not finite, which JSON cannot say.
Json number(double value);

Json to_json(const Progress& progress);

/// Of a run of so many updates. What is missing or does not fit is a complaint of `json`.
Progress progress_from_json(const JsonReader& json, std::int64_t steps);

}  // namespace gradstab::lab
