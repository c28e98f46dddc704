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
               {"nonfinite", progress.nonfinite},
               {"evaluated", progress.evaluated},
               {"spikes_written", progress.spikes_written},
               {"nonfinite_written", progress.nonfinite_written}};
  const auto add = [&](const std::string& prefix, const std::vector<double>& values) {
    for (std::size_t i = 0; i < info.metrics.size(); ++i) {
      if (info.metrics[i].exp_of_score) continue;
      json[prefix + info.metrics[i].key] = number(i < values.size() ? values[i] : kNoValue);
    }
  };
  add("", progress.values);
  add("best_", progress.best_values);
  return json;
}

Progress progress_from_json(const JsonReader& json, const TaskInfo& info, std::int64_t steps) {
  Progress progress;
  progress.step = json["step"].whole(0, steps);
  progress.samples = json[info.sample].whole(0);
  progress.seconds = json["seconds"].number();
  progress.spikes = json["spikes"].whole(0);
  progress.nonfinite = json["nonfinite"].whole(0);
  // Older versions wrote a line for every update.
  progress.spikes_written = json["spikes_written"].whole_or(progress.spikes);
  progress.nonfinite_written = json["nonfinite_written"].whole_or(progress.nonfinite);
  // Older versions had a checkpoint only after an evaluation where both were due.
  progress.evaluated = json["evaluated"].whole_or(progress.step);
  const auto values = [&](const std::string& prefix) {
    std::vector<double> measured;
    for (const Metric& metric : info.metrics)
      if (!metric.exp_of_score) measured.push_back(json[prefix + metric.key].number_or_nan());
    return with_derived(info, measured);
  };
  progress.values = values("");
  progress.best_values = values("best_");
  return progress;
}

}  // namespace gradstab::lab
