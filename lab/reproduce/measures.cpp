#include "lab/reproduce/measures.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

namespace gradstab::lab {
namespace {

constexpr std::size_t kWindow = 50;  // updates that a spike is compared with
constexpr std::size_t kFewest = 20;  // of them
constexpr double kNormFactor = 3.0;  // above their median: a norm spike

/// Of `values[begin, end)`, the finite ones; NaN if there are fewer than `fewest`.
double median_of(const std::vector<double>& values, std::size_t begin, std::size_t end, std::size_t fewest) {
  std::vector<double> some;
  for (std::size_t i = begin; i < end; ++i)
    if (std::isfinite(values[i])) some.push_back(values[i]);
  if (some.size() < std::max<std::size_t>(fewest, 1)) return kNoValue;
  const auto middle = some.begin() + static_cast<std::ptrdiff_t>(some.size() / 2);
  std::ranges::nth_element(some, middle);
  return *middle;
}

double median_before(const std::vector<double>& values, std::size_t index) {
  return median_of(values, index - std::min(index, kWindow), index, kFewest);
}

std::vector<double> costs_of(RunsOfSeed runs) {
  std::vector<double> costs;
  for (const ItemRun* run : runs) costs.push_back(run->judged_cost());
  return costs;
}

double mean_of(const std::vector<double>& values) {
  double sum = 0.0;
  for (const double value : values) sum += value;
  return values.empty() ? kNoValue : sum / static_cast<double>(values.size());
}

/// NaN if any value is missing, unlike std::ranges::min.
double extreme(const std::vector<double>& values, bool largest) {
  if (values.empty() || !std::isfinite(mean_of(values))) return kNoValue;
  return largest ? std::ranges::max(values) : std::ranges::min(values);
}

double count_updates(RunsOfSeed runs, bool (*is_one)(const ItemRun&, std::size_t)) {
  double count = 0.0;
  for (const ItemRun* run : runs) {
    if (run->state != "finished") return kNoValue;
    for (std::size_t i = 0; i < run->training_loss.size(); ++i) count += is_one(*run, i) ? 1.0 : 0.0;
  }
  return runs.empty() ? kNoValue : count;
}

/// The mean of so many losses up to each update, from the first update that has as many.
std::vector<double> trailing_means(const std::vector<double>& losses, std::size_t count) {
  std::vector<double> means;
  for (std::size_t end = count; end <= losses.size(); ++end) {
    double sum = 0.0;
    for (std::size_t i = end - count; i < end; ++i) sum += losses[i];
    means.push_back(sum / static_cast<double>(count));
  }
  return means;
}

}  // namespace

double mean_score(RunsOfSeed runs) {
  return mean_of(costs_of(runs));
}

double best_score(RunsOfSeed runs) {
  return extreme(costs_of(runs), /*largest=*/false);
}

double worst_score(RunsOfSeed runs) {
  return extreme(costs_of(runs), /*largest=*/true);
}

double score_range(RunsOfSeed runs) {
  return worst_score(runs) - best_score(runs);
}

double excess_score(RunsOfSeed runs) {
  return mean_score(runs) - best_score(runs);
}

double norm_spike_count(RunsOfSeed runs) {
  return count_updates(runs, is_norm_spike);
}

double loss_spike_count(RunsOfSeed runs) {
  return count_updates(runs, is_loss_spike);
}

double divergence_count(RunsOfSeed runs) {
  double count = 0.0;
  for (const ItemRun* run : runs) {
    if (run->state == "pending") return kNoValue;
    count += run->diverged || run->state == "failed" ? 1.0 : 0.0;
  }
  return runs.empty() ? kNoValue : count;
}

double lost_updates(RunsOfSeed runs) {
  const auto is_reference = [](const ItemRun* run) { return run->options.inject_spikes.empty(); };
  if (std::ranges::count_if(runs, is_reference) != 1) return kNoValue;
  const ItemRun& reference = **std::ranges::find_if(runs, is_reference);
  // Short runs have no 50 updates to spare.
  const std::size_t count = std::clamp<std::size_t>(reference.training_loss.size() / 4, 1, kWindow);
  const auto undisturbed = trailing_means(reference.training_loss, count);
  std::vector<double> lost;
  for (const ItemRun* run : runs) {
    if (run->state != "finished") return kNoValue;
    if (run == &reference) continue;
    const auto means = trailing_means(run->training_loss, count);
    // One that diverged ends nowhere.
    const double end = means.size() == undisturbed.size() ? means.back() : kNoValue;
    lost.push_back(
        static_cast<double>(std::ranges::count_if(undisturbed, [&](double mean) { return !(mean >= end); })));
  }
  return mean_of(lost);
}

bool is_norm_spike(const ItemRun& run, std::size_t index) {
  const double before = median_before(run.grad_norm, index);
  if (!std::isfinite(before)) return false;
  return !(run.grad_norm[index] <= kNormFactor * before);
}

double norm_spikes_per_1000(const ItemRun& run) {
  double count = 0.0;
  for (std::size_t i = 0; i < run.grad_norm.size(); ++i) count += is_norm_spike(run, i) ? 1.0 : 0.0;
  return run.grad_norm.empty() ? kNoValue : 1000.0 * count / static_cast<double>(run.grad_norm.size());
}

double largest_norm_ratio(const ItemRun& run) {
  double largest = kNoValue;
  for (std::size_t i = 0; i < run.grad_norm.size(); ++i) {
    const double before = median_before(run.grad_norm, i);
    if (!std::isfinite(before)) continue;
    const double norm = run.grad_norm[i];
    if (!std::isfinite(norm)) return std::numeric_limits<double>::infinity();
    largest = std::fmax(largest, norm / before);
  }
  return largest;
}

bool is_loss_spike(const ItemRun& run, std::size_t index) {
  const double before = median_before(run.training_loss, index);
  if (!std::isfinite(before) || run.loss_spike <= 0.0) return false;
  return !(run.training_loss[index] <= before + run.loss_spike);
}

std::string measure_definitions(const TaskInfo& measures) {
  const Metric& metric = measures.score();
  // A single loss is counted in the unit without what it is divided by: "nats".
  const std::string unit = measures.loss_unit.substr(0, measures.loss_unit.find(" per "));
  std::string text = fmt::format(
      "{}: {} after the last update{}{}; a run that diverged or failed counts with the {} of an uninformed "
      "guess. "
      "Norm spike: an update whose raw global norm is more than 3 times the median of the 50 before it, or "
      "not "
      "finite.",
      as_heading(metric.noun), measures.held_out, metric.unit.empty() ? "" : ", ", metric.unit, metric.noun);
  if (measures.loss_spike > 0.0) {
    text += fmt::format(" Loss spike: an update whose training loss is more than {}{}{} above that median.",
                        measures.loss_spike, unit.empty() ? "" : " ", unit);
  }
  return text +
         " Updates lost to what was injected: those of the same run without it at which the mean of the last "
         "50 "
         "training losses was already lower than where the run with it ends.";
}

}  // namespace gradstab::lab
