#include "lab/reproduce/plot.hpp"

#include <fmt/format.h>

#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <map>
#include <set>

#include "lab/page/downsample.hpp"
#include "lab/report/grouping.hpp"
#include "lab/reproduce/names.hpp"

namespace gradstab::lab {
namespace {

using nlohmann::json;

constexpr std::size_t kMostPoints = 140;  // of a line; what is dropped is no extreme

json rounded(double value) {
  if (!std::isfinite(value)) return nullptr;
  return std::strtod(fmt::format("{:.5g}", value).c_str(), nullptr);
}

// What stands on the horizontal axis. A line says by its type which of the two it is, so that neither is ever
// converted to the other.
using Update = std::int64_t;  // from 1 on
using Value = double;         // of a setting

template <class X>
struct Line {
  std::vector<X> x;  // increasing
  std::vector<double> y;
};

template <class X>
json to_json(const Line<X>& line) {
  json points = json::array();
  for (const std::size_t i : downsample(line.y, kMostPoints))
    points.push_back({line.x[i], rounded(line.y[i])});
  return points;
}

Line<Update> line_of(const ItemRun& run, SeriesPlot::What what) {
  Line<Update> line;
  if (what == SeriesPlot::What::evaluation_score) {
    for (const EvalPoint& point : run.evaluations) {
      line.x.push_back(point.step);
      line.y.push_back(point.score());
    }
    return line;
  }
  line.y = run.grad_norm;
  if (what == SeriesPlot::What::training_loss)
    line.y = smooth(run.training_loss, smoothing_window(run.training_loss.size()));
  const auto every = static_cast<Update>(run.options.metrics_every);
  for (std::size_t i = 0; i < line.y.size(); ++i) line.x.push_back(static_cast<Update>(i + 1) * every);
  return line;
}

/// Where all lines have a point, their mean; no number where one of them has none, so that a mean is never
/// one of the lines that are left.
template <class X>
Line<X> mean_of(const std::vector<Line<X>>& lines) {
  std::map<X, std::vector<double>> values;
  for (const Line<X>& line : lines)
    for (std::size_t i = 0; i < line.x.size(); ++i) values[line.x[i]].push_back(line.y[i]);
  Line<X> mean;
  for (const auto& [x, at] : values) {
    if (at.size() != lines.size()) continue;
    mean.x.push_back(x);
    const Spread spread = spread_of(at);
    mean.y.push_back(spread.finite == spread.total ? spread.mean : kNoValue);
  }
  return mean;
}

struct SeriesText {
  std::string title;
  std::string caption;
  std::string unit;
  bool logarithmic;
};

SeriesText text_of(SeriesPlot::What what, const TaskInfo& measures) {
  const Metric& metric = measures.score();
  switch (what) {
    case SeriesPlot::What::evaluation_score:
      return {"Evaluation " + metric.noun,
              fmt::format("Thick lines are means over seeds, thin lines the seeds. {}.",
                          as_heading(std::string(direction_text(metric)))),
              metric.unit, false};
    case SeriesPlot::What::training_loss:
      return {"Training loss",
              "Averaged over neighbouring updates; mean over seeds, as long as all are numbers. A jump "
              "upwards is a loss spike.",
              measures.loss_unit, false};
    case SeriesPlot::What::grad_norm:
      return {"Raw gradient norm",
              "Of the first seed, log axis. Of every stretch the smallest and largest value stay.", "norm",
              true};
  }
  return {};
}

template <class X>
json line_entry(const std::string& arm, const Line<X>& mean, const std::vector<Line<X>>& seeds) {
  json entry = {
      {"label", arm_label(arm)}, {"arm", arm}, {"control", is_control(arm)}, {"mean", to_json(mean)}};
  entry["seeds"] = json::array();
  for (const Line<X>& line : seeds) entry["seeds"].push_back(to_json(line));
  return entry;
}

/// The finished runs of a horizon and of a context.
std::vector<const ItemRun*> runs_in(const Records& records, const std::string& horizon,
                                    const Settings& context) {
  std::vector<const ItemRun*> runs;
  for (const ItemRun& run : records.runs)
    if (run.horizon == horizon && run.state == "finished" && run.coordinates == context) runs.push_back(&run);
  return runs;
}

/// For those who compare a chart with the records.
json context_of(const Settings& coordinates) {
  json context = json::object();
  for (const auto& [key, value] : coordinates) context[key] = value;
  return context;
}

json series_chart(const SeriesPlot& plot, const Records& records, const std::string& horizon,
                  const Settings& context) {
  const SeriesText text = text_of(plot.what, records.measures);
  json lines = json::array();
  const auto runs = runs_in(records, horizon, context);
  for (const std::string& arm : arms_in_order(records)) {
    std::vector<Line<Update>> seeds;
    for (const ItemRun* run : runs)
      if (run->arm == arm) seeds.push_back(line_of(*run, plot.what));
    if (seeds.empty()) continue;
    if (plot.what == SeriesPlot::What::grad_norm) {
      lines.push_back(line_entry<Update>(arm, seeds.front(), {}));
    } else if (plot.what == SeriesPlot::What::training_loss) {
      lines.push_back(line_entry<Update>(arm, mean_of(seeds), {}));
    } else {
      lines.push_back(line_entry(arm, mean_of(seeds), seeds));
    }
  }
  const std::string at = context_text(context);
  return {{"title", fmt::format("{}, {}{}{}", text.title, horizon, at.empty() ? "" : ", ", at)},
          {"caption", text.caption},
          {"horizon", horizon},
          {"context", context_of(context)},
          {"x", "update"},
          {"y", text.unit},
          {"log_x", false},
          {"log_y", text.logarithmic},
          {"dots", false},
          {"lines", lines}};
}

std::string coordinate_of(const ItemRun& run, const std::string& key) {
  for (const auto& [name, value] : run.coordinates)
    if (name == key) return value;
  return "";
}

json curve_chart(const CurvePlot& plot, const Records& records, const std::string& horizon) {
  json lines = json::array();
  std::set<std::string> positions;
  for (const std::string& arm : arms_in_order(records)) {
    std::map<int, std::map<Value, double>> scores_of_seed;
    for (const ItemRun& run : records.runs) {
      const std::string position = coordinate_of(run, plot.key);
      const double score = run.judged_score();
      if (run.horizon != horizon || run.arm != arm || position.empty() ||
          !lies_in(run.coordinates, plot.where))
        continue;
      if (!std::isfinite(score)) continue;
      positions.insert(position);
      scores_of_seed[run.seed].emplace(std::strtod(position.c_str(), nullptr), score);
    }
    if (scores_of_seed.empty()) continue;
    std::vector<Line<Value>> seeds;
    for (const auto& [seed, scores] : scores_of_seed) {
      Line<Value>& line = seeds.emplace_back();
      for (const auto& [x, score] : scores) {
        line.x.push_back(x);
        line.y.push_back(score);
      }
    }
    lines.push_back(line_entry(arm, mean_of(seeds), seeds));
  }
  if (positions.size() < 2) return nullptr;
  const Metric& metric = records.measures.score();
  return {{"title", fmt::format("{} against {}, {}", as_heading(metric.noun), plot.key, horizon)},
          {"caption",
           fmt::format("After the last update. Large dots are means over seeds, small dots the seeds. {}.",
                       as_heading(std::string(direction_text(metric))))},
          {"horizon", horizon},
          {"context", context_of(plot.where)},
          {"x", plot.key},
          {"y", metric.unit},
          {"log_x", plot.key == "lr"},
          {"even_x", plot.key == "gamma2"},
          {"log_y", false},
          {"dots", true},
          {"lines", lines}};
}

}  // namespace

json plot_data(const Plots& plots, const Records& records) {
  json charts = json::array();
  const auto add = [&](json chart) {
    if (!chart.is_null() && !chart["lines"].empty()) charts.push_back(std::move(chart));
  };
  for (const std::string& horizon : horizons_in_order(records)) {
    for (const CurvePlot& plot : plots.curves) add(curve_chart(plot, records, horizon));
    for (const SeriesPlot& plot : plots.series) {
      for (const Settings& context : contexts_in_order(records, horizon)) {
        if (lies_in(context, plot.where)) add(series_chart(plot, records, horizon, context));
      }
    }
  }
  return charts;
}

}  // namespace gradstab::lab
