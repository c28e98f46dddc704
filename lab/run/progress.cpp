#include "lab/run/progress.hpp"

#include <cmath>

namespace gradstab::lab {

Json number(double value) {
  return std::isfinite(value) ? Json(value) : Json(nullptr);
}

Json to_json(const Progress& progress, const TaskInfo& info) {
  Json json = {{"step", progress.step},
               {info.sample, progress.samples},
               {"seconds", progress.seconds},
               {"spikes", progress.spikes},
               {"nonfinite", progress.nonfinite}};
  for (std::size_t i = 0; i < info.metrics.size(); ++i) {
    if (info.metrics[i].exp_of_score) continue;
    json[info.metrics[i].key] = number(i < progress.values.size() ? progress.values[i] : kNoValue);
  }
  json["best_" + info.score().key] = number(progress.best_score);
  return json;
}

Progress progress_from_json(const JsonReader& json, const TaskInfo& info, std::int64_t steps) {
  Progress progress;
  progress.step = json["step"].whole(0, steps);
  progress.samples = json[info.sample].whole(0);
  progress.seconds = json["seconds"].number();
  progress.spikes = json["spikes"].whole(0);
  progress.nonfinite = json["nonfinite"].whole(0);
  std::vector<double> measured;
  for (const Metric& metric : info.metrics)
    if (!metric.exp_of_score) measured.push_back(json[metric.key].number_or_nan());
  progress.values = with_derived(info, measured);
  progress.best_score = json["best_" + info.score().key].number_or_nan();
  return progress;
}

}  // namespace gradstab::lab
