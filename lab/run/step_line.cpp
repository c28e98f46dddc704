#include "lab/run/step_line.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <utility>
#include <vector>

namespace gradstab::lab {
namespace {

using Json = nlohmann::ordered_json;

/// Smallest, median and largest of a norm over the tensors that have a gradient, and where the largest is.
Json norm_summary(const StepReport& report, const ParameterSet& parameters, bool raw) {
  std::vector<std::pair<double, std::size_t>> norms;
  for (std::size_t i = 0; i < report.tensors.size(); ++i) {
    const TensorReport& tensor = report.tensors[i];
    const double norm = raw ? tensor.raw_norm : tensor.norm();
    if (tensor.present && std::isfinite(norm)) norms.emplace_back(norm, i);
  }
  if (norms.empty()) return {{"min", nullptr}, {"median", nullptr}, {"max", nullptr}, {"max_name", nullptr}};
  std::ranges::sort(norms);
  return {{"min", norms.front().first},
          {"median", norms[norms.size() / 2].first},
          {"max", norms.back().first},
          {"max_name", parameters[norms.back().second].name}};
}

}  // namespace

Json step_line(const TaskInfo& info, const Progress& progress, const StepFigures& figures,
               const StepReport& report, const ParameterSet& parameters) {
  // A step that saw NaN or Inf has no norm worth drawing.
  const bool finite = report.nonfinite == 0 && !figures.skipped;
  const auto norm = [&](double value) { return finite ? number(value) : Json(nullptr); };
  Json line = {{"kind", "step"},
               {"step", progress.step},
               {"loss", number(figures.loss)},
               {"lr", figures.lr},
               {info.sample, progress.samples},
               {info.rate_key(), figures.samples_per_second},
               {"seconds", progress.seconds},
               {"grad_norm", norm(report.raw_global_norm)},
               {"stabilized_norm", norm(report.global_norm)},
               {"spikes", progress.spikes - progress.spikes_written},
               {"nonfinite", progress.nonfinite - progress.nonfinite_written},
               {"raw_norm", norm_summary(report, parameters, true)},
               {"transformed_norm", norm_summary(report, parameters, false)}};
  if (figures.loss_scale) {
    line["loss_scale"] = *figures.loss_scale;
    line["step_skipped"] = figures.skipped;
  }
  if (figures.injected)
    line["injected"] = std::isnan(*figures.injected) ? Json("nan") : Json(*figures.injected);
  return line;
}

}  // namespace gradstab::lab
