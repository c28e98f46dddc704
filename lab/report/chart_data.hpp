// The numbers that the page's script draws.
#pragma once

#include <cstddef>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <vector>

#include "lab/report/grouping.hpp"

namespace gradstab::lab {

/// A chart of a metric over the evaluations.
struct EvaluationChart {
  std::string key;     ///< of its series: "validation" for the score
  std::size_t metric;  ///< its place in the measures
};

/// One for each metric that is measured, the score first.
std::vector<EvaluationChart> evaluation_charts(const TaskInfo& measures);

/// `{"runs": [...], "groups": [...]}`: for each run its label, group and series, for each group of several
/// runs the mean lines. A series is `{"x": steps, "y": values}`, at most `max_points` long (see
/// downsample.hpp), with values rounded to seven digits and `null` where nothing was recorded.
nlohmann::json chart_data(std::span<const RunRecord> runs, const Arrangement& arrangement,
                          std::size_t max_points);

}  // namespace gradstab::lab
