// The line of metrics.jsonl that describes one update.
#pragma once

#include <limits>
#include <nlohmann/json.hpp>
#include <optional>

#include "gradstab/tensor.hpp"
#include "gradstab/transform.hpp"
#include "lab/run/progress.hpp"

namespace gradstab::lab {

/// What happened in one update beside what the transform reports.
struct StepFigures {
  double loss = 0.0;
  double lr = 0.0;
  double samples_per_second = 0.0;
  double grad_norm = std::numeric_limits<double>::quiet_NaN();  ///< raw and global
  std::optional<float> loss_scale;                              ///< if the loss was scaled
  bool skipped = false;                                         ///< by found-inf
  std::optional<double> injected;  ///< factor of a spike made on purpose; NaN: a NaN was put in
};

/// `progress` counts this update already. Flagged tensors are those of all updates since the line before.
nlohmann::ordered_json step_line(const TaskInfo& info, const Progress& progress, const StepFigures& figures,
                                 const StepReport& report, const ParameterSet& parameters);

}  // namespace gradstab::lab
