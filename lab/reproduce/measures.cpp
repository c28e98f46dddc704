#include "lab/reproduce/measures.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "lab/train/injected_spikes.hpp"

namespace gradstab::lab {
namespace {

constexpr std::size_t kWindow = 50;    // updates that a spike is compared with
constexpr std::size_t kFewest = 20;    // of them
constexpr double kNormFactor = 3.0;    // above their median: a norm spike
constexpr double kLossDistance = 0.5;  // nats above their median: a loss spike
constexpr double kRecovered = 0.1;     // nats above the median before the spike: back
constexpr std::size_t kSmoothed = 5;   // updates whose mean has to be back

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

std::vector<double> losses_of(RunsOfSeed runs) {
  std::vector<double> losses;
  for (const ItemRun* run : runs) losses.push_back(run->judged_loss());
  return losses;
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

/// Updates from the spike at `index` until the mean of the next few losses is back; until the end if it never
/// is.
double updates_to_recover(const std::vector<double>& losses, std::size_t index) {
  const double before = median_before(losses, index);
  for (std::size_t i = index + 1; i + kSmoothed <= losses.size(); ++i) {
    double sum = 0.0;
    for (std::size_t j = i; j < i + kSmoothed; ++j) sum += losses[j];
    if (sum / kSmoothed <= before + kRecovered) return static_cast<double>(i - index - 1);
  }
  return static_cast<double>(losses.size() - index);
}

}  // namespace

double mean_loss(RunsOfSeed runs) {
  return mean_of(losses_of(runs));
}

double best_loss(RunsOfSeed runs) {
  return extreme(losses_of(runs), /*largest=*/false);
}

double worst_loss(RunsOfSeed runs) {
  return extreme(losses_of(runs), /*largest=*/true);
}

double loss_range(RunsOfSeed runs) {
  return worst_loss(runs) - best_loss(runs);
}

double excess_loss(RunsOfSeed runs) {
  return mean_loss(runs) - best_loss(runs);
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

double recovery_updates(RunsOfSeed runs) {
  std::vector<double> updates;
  for (const ItemRun* run : runs) {
    const auto spikes = parse_injected_spikes(run->options.inject_spikes);
    if (!spikes) return kNoValue;
    for (std::size_t i = kFewest; i < run->training_loss.size(); ++i) {
      const auto update = static_cast<std::int64_t>(i) + 1;
      if (injected_factor(*spikes, run->options.seed, update))
        updates.push_back(updates_to_recover(run->training_loss, i));
    }
  }
  return mean_of(updates);
}

bool is_norm_spike(const ItemRun& run, std::size_t index) {
  const double before = median_before(run.grad_norm, index);
  if (!std::isfinite(before)) return false;
  return !(run.grad_norm[index] <= kNormFactor * before);
}

bool is_loss_spike(const ItemRun& run, std::size_t index) {
  const double before = median_before(run.training_loss, index);
  if (!std::isfinite(before)) return false;
  return !(run.training_loss[index] <= before + kLossDistance);
}

std::string_view measure_definitions() {
  return "Loss: on held-out text after the last update, nats per token; a run that diverged or failed counts "
         "with the loss of an uninformed guess. Norm spike: an update whose raw global norm is more than 3 "
         "times the median of the 50 before it, or not finite. Loss spike: an update whose training loss is "
         "more than 0.5 nats above that median. Recovery: updates from an injected spike until the mean of 5 "
         "training losses is within 0.1 nats of the median of the 50 before it.";
}

}  // namespace gradstab::lab
