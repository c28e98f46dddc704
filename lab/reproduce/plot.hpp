// What is drawn of an item's runs: the paper's figure again, from ours.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "lab/reproduce/records.hpp"

namespace gradstab::lab {

/// Something over the updates, a line for each arm.
struct SeriesPlot {
  enum class What { evaluation_score, training_loss, grad_norm };
  What what = What::evaluation_score;
  Settings where;  ///< of the contexts; drawn once for each that has these coordinates
};

/// The judged score over a coordinate, a line for each arm: mean and every seed.
struct CurvePlot {
  std::string key;  ///< of the coordinate: "lr"
  Settings where;   ///< of the contexts
};

struct Plots {
  std::vector<SeriesPlot> series;
  std::vector<CurvePlot> curves;
};

/// For charts.js, a list with an entry per chart: title, caption, axes, lines. A chart of every horizon.
nlohmann::json plot_data(const Plots& plots, const Records& records);

}  // namespace gradstab::lab
