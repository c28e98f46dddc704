// How far a run has come.
#pragma once

#include <cstdint>
#include <limits>
#include <nlohmann/json.hpp>

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
nlohmann::ordered_json number(double value);

nlohmann::ordered_json to_json(const Progress& progress);

/// Throws nlohmann::json::exception on a missing key or a wrong type.
Progress progress_from_json(const nlohmann::ordered_json& json);

}  // namespace gradstab::lab
