// What the weights are worth, in the middle of a run and at its end.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <utility>

#include "lab/run/formats.hpp"
#include "lab/train/training_run.hpp"
#include "lab/train/weights_checksum.hpp"

namespace gradstab::lab {
namespace {

double median(std::vector<double> values) {
  if (values.empty()) return kNoValue;
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

}  // namespace

/// In evaluation mode, for which the time counts.
Result<Evaluation> TrainingRun::evaluation(Extent extent) {
  const auto begin = std::chrono::steady_clock::now();
  task_.model().eval();
  Evaluation found;
  try {
    found = task_.evaluate(extent);
  } catch (const Error& error) {
    return Status(error.code(), error.what());
  }
  task_.model().train();
  progress_.seconds += std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  return found;
}

/// Evaluates the averaged weights where there are some. With `select` best every evaluation is quick, so that
/// the scores that are compared are of one extent.
Status TrainingRun::evaluate() {
  progress_.evaluated = progress_.step;
  if (!writes()) return {};
  full_values_ = progress_.step == length_.steps && !best_;
  if (average_) average_->exchange();
  auto found = evaluation(full_values_ ? Extent::full : Extent::quick);
  if (!found) return found.status();
  progress_.values = with_derived(info(), found->values);
  if (std::isnan(progress_.best_score()) ||
      is_better(info().score(), progress_.score(), progress_.best_score())) {
    progress_.best_values = progress_.values;
    if (best_) best_->take();
  }
  if (average_) average_->exchange();
  exhibits_ = std::move(found->exhibits);
  Json line = {{"kind", "eval"}, {"step", progress_.step}};
  add_values(line, "", progress_.values);
  return directory_->append_metrics(line);
}

/// Of a run that has finished: puts the chosen weights into the model and says what they are worth. The test
/// part is looked at here, and nowhere else.
Result<std::vector<double>> TrainingRun::judged_values() {
  if (best_) {
    best_->put();
  } else if (average_) {
    average_->put();
  }
  // The values of Extent::full are missing where the best weights were chosen, and where the run was killed
  // between its last checkpoint and its end.
  if (!full_values_) {
    auto found = evaluation(Extent::full);
    if (!found) return found.status();
    exhibits_ = std::move(found->exhibits);
    progress_.values = with_derived(info(), found->values);
  }
  if (!task_.has_test_part()) return progress_.values;
  auto found = evaluation(Extent::test);
  if (!found) return found.status();
  exhibits_ = std::move(found->exhibits);
  const std::vector<double> values = with_derived(info(), found->values);
  Json line = {{"kind", "test"}, {"step", progress_.step}};
  add_values(line, "", values);
  GRADSTAB_RETURN_IF_ERROR(directory_->append_metrics(line));
  return values;
}

void TrainingRun::add_values(Json& json, const std::string& prefix, const std::vector<double>& values) const {
  for (std::size_t i = 0; i < info().metrics.size(); ++i)
    json[prefix + info().metrics[i].key] = number(i < values.size() ? values[i] : kNoValue);
}

Result<TrainResult> TrainingRun::finish(TrainOutcome outcome) {
  TrainResult result;
  result.outcome = outcome;
  if (!writes()) return result;
  const bool finished = outcome == TrainOutcome::finished;
  std::vector<double> values = progress_.values;
  if (finished) {
    auto judged = judged_values();
    if (!judged) return judged.status();
    values = *std::move(judged);
  }
  result.warning = task_.warning();
  Json& summary = result.summary;
  summary = {
      {"format", kRunFormat}, {"state", finished ? "finished" : "interrupted"}, {"step", progress_.step}};
  add_values(summary, "final_", values);
  summary["best_" + info().score().key] = number(progress_.best_score());
  if (finished && task_.has_test_part()) add_values(summary, "validation_", progress_.values);
  summary["spikes"] = progress_.spikes;
  summary["nonfinite"] = progress_.nonfinite;
  summary["skipped_steps"] = loss_scaler_ ? loss_scaler_->skipped_steps() : 0;
  summary["diverged"] = finished && is_diverged(info(), values.empty() ? kNoValue : values.front());
  summary["seconds"] = progress_.seconds;
  summary[info().rate_key()] =
      number(speeds_.empty() && cycle_.updates > 0 ? cycle_.speed() : median(speeds_));
  summary["weights_checksum"] = weights_checksum(task_.model());
  if (finished && !exhibits_.empty()) GRADSTAB_RETURN_IF_ERROR(directory_->write_exhibits(exhibits_));
  GRADSTAB_RETURN_IF_ERROR(directory_->write_summary(summary));
  return result;
}

}  // namespace gradstab::lab
