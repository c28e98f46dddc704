#include "lab/report/chart_data.hpp"

#include <fmt/format.h>

#include <cmath>
#include <cstdlib>
#include <map>

#include "lab/page/downsample.hpp"

namespace gradstab::lab {
namespace {

using nlohmann::json;

struct Series {
  std::vector<std::int64_t> steps;
  std::vector<double> values;
};

/// Enough for a screen of any size, and half the bytes of a full double.
json rounded(double value) {
  if (!std::isfinite(value)) return nullptr;
  return std::strtod(fmt::format("{:.7g}", value).c_str(), nullptr);
}

json to_json(const Series& series, std::size_t max_points) {
  json x = json::array(), y = json::array();
  bool any = false;
  for (const std::size_t i : downsample(series.values, max_points)) {
    x.push_back(series.steps[i]);
    y.push_back(rounded(series.values[i]));
    any = any || std::isfinite(series.values[i]);
  }
  if (!any) return {{"x", json::array()}, {"y", json::array()}};
  return {{"x", std::move(x)}, {"y", std::move(y)}};
}

template <class Value>
Series step_series(const RunRecord& run, Value value) {
  Series series;
  for (const StepPoint& point : run.steps) {
    series.steps.push_back(point.step);
    series.values.push_back(value(point));
  }
  return series;
}

Series evaluation_series(const RunRecord& run, std::size_t metric) {
  Series series;
  for (const EvalPoint& point : run.evaluations) {
    series.steps.push_back(point.step);
    series.values.push_back(metric < point.values.size() ? point.values[metric] : kNoValue);
  }
  return series;
}

Series smoothed_loss(const RunRecord& run) {
  Series series = step_series(run, [](const StepPoint& point) { return point.loss; });
  series.values = smooth(series.values, smoothing_window(series.values.size()));
  return series;
}

Series flagged_so_far(const RunRecord& run) {
  double sum = 0;
  bool recorded = false;
  return step_series(run, [&](const StepPoint& point) {
    if (std::isfinite(point.spikes)) sum += point.spikes, recorded = true;
    return recorded ? sum : kNoValue;
  });
}

/// The mean at the steps that every one of the series has.
Series mean_of(const std::vector<Series>& all) {
  std::map<std::int64_t, std::pair<double, std::size_t>> sums;
  for (const Series& series : all) {
    for (std::size_t i = 0; i < series.steps.size(); ++i) {
      auto& [sum, count] = sums[series.steps[i]];
      sum += series.values[i];
      ++count;
    }
  }
  Series mean;
  for (const auto& [step, entry] : sums) {
    if (entry.second != all.size()) continue;
    mean.steps.push_back(step);
    mean.values.push_back(entry.first / static_cast<double>(all.size()));
  }
  return mean;
}

}  // namespace

std::vector<EvaluationChart> evaluation_charts(const TaskInfo& measures) {
  std::vector<EvaluationChart> charts;
  for (std::size_t i = 0; i < measures.metrics.size(); ++i) {
    if (measures.metrics[i].exp_of_score) continue;
    charts.push_back({i == 0 ? std::string("validation") : "metric_" + std::to_string(i), i});
  }
  return charts;
}

json chart_data(std::span<const RunRecord> runs, const Arrangement& arrangement, std::size_t max_points) {
  json result = {{"runs", json::array()}, {"groups", json::array()}};
  const auto charts = evaluation_charts(runs.front().measures);
  std::vector<std::vector<Series>> evaluated(charts.size());
  std::vector<Series> training;
  for (std::size_t i = 0; i < runs.size(); ++i) {
    const RunRecord& run = runs[i];
    training.push_back(smoothed_loss(run));
    const auto norm = [](const StepPoint& point) { return point.grad_norm; };
    const auto stabilized = [](const StepPoint& point) { return point.stabilized_norm; };
    const auto ratio = [](const StepPoint& point) {
      return point.grad_norm > 0 ? point.stabilized_norm / point.grad_norm : kNoValue;
    };
    const auto loss = [](const StepPoint& point) { return point.loss; };
    json entry = {{"label", arrangement.run_labels[i]},
                  {"group", arrangement.group_of_run[i]},
                  {"seed", seed_text(run)},
                  {"training", to_json(training.back(), max_points)},
                  {"training_raw", to_json(step_series(run, loss), max_points)},
                  {"raw_norm", to_json(step_series(run, norm), max_points)},
                  {"stabilized_norm", to_json(step_series(run, stabilized), max_points)},
                  {"factor", to_json(step_series(run, ratio), max_points)},
                  {"flagged", to_json(flagged_so_far(run), max_points)}};
    for (std::size_t chart = 0; chart < charts.size(); ++chart) {
      evaluated[chart].push_back(evaluation_series(run, charts[chart].metric));
      entry[charts[chart].key] = to_json(evaluated[chart].back(), max_points);
    }
    result["runs"].push_back(std::move(entry));
  }
  for (const RunGroup& group : arrangement.groups) {
    json entry = {{"label", group.label}, {"runs", group.runs}};
    if (group.runs.size() > 1) {
      const auto mean_over = [&](const std::vector<Series>& of_runs) {
        std::vector<Series> of_group;
        for (const std::size_t run : group.runs) of_group.push_back(of_runs[run]);
        return to_json(mean_of(of_group), max_points);
      };
      entry["training"] = mean_over(training);
      for (std::size_t chart = 0; chart < charts.size(); ++chart)
        entry[charts[chart].key] = mean_over(evaluated[chart]);
    }
    result["groups"].push_back(std::move(entry));
  }
  return result;
}

}  // namespace gradstab::lab
