#include "lab/reproduce/comparison.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "lab/reproduce/measures.hpp"
#include "lab/reproduce/names.hpp"

namespace gradstab::lab {
namespace {

/// By seed.
using Runs = std::map<int, const ItemRun*>;

Runs runs_of(const Records& records, const std::string& horizon, const Settings& context,
             const std::string& arm) {
  Runs runs;
  for (const ItemRun& run : records.runs) {
    if (run.horizon == horizon && run.coordinates == context && run.arm == arm && run.state != "pending")
      runs.emplace(run.seed, &run);
  }
  return runs;
}

double uninformed_cost(const ItemRun& run) {
  return run.better == Better::lower ? run.uninformed : -run.uninformed;
}

/// The mean over some runs of a number of each.
template <class Figure>
double mean_over(const Runs& runs, Figure figure) {
  double sum = 0.0;
  for (const auto& [seed, run] : runs) sum += figure(*run);
  return runs.empty() ? kNoValue : sum / static_cast<double>(runs.size());
}

ArmGain gain_of(const std::string& arm, const Runs& with, const Runs& without) {
  ArmGain gain{arm, {}};
  for (const auto& [seed, run] : with) {
    const auto reference = without.find(seed);
    if (reference == without.end()) continue;
    const double value = reference->second->judged_cost() - run->judged_cost();
    if (std::isfinite(value)) gain.by_seed.emplace(seed, value);
  }
  return gain;
}

Comparison comparison_of(const Records& records, const std::string& horizon, const Settings& context,
                         const Runs& without) {
  Comparison result;
  result.item = records.item;
  result.horizon = horizon;
  result.coordinates = context;
  result.measures = records.measures;
  result.options = without.begin()->second->options;
  result.norm_spikes = mean_over(without, norm_spikes_per_1000);
  result.largest_norm = mean_over(without, largest_norm_ratio);
  result.cost = mean_over(without, [](const ItemRun& run) { return run.judged_cost(); });
  result.learned = mean_over(without, uninformed_cost) - result.cost;
  for (const std::string& arm : arms_in_order(records)) {
    if (arm == "none") continue;
    ArmGain gain = gain_of(arm, runs_of(records, horizon, context, arm), without);
    if (!gain.by_seed.empty()) result.gains.push_back(std::move(gain));
  }
  return result;
}

void take_arms_of(Comparison& comparison, const Comparison& other) {
  for (const ArmGain& gain : other.gains) {
    const auto found = std::ranges::find(comparison.gains, gain.arm, &ArmGain::arm);
    if (found == comparison.gains.end()) {
      comparison.gains.push_back(gain);
    } else if (found->by_seed.size() < gain.by_seed.size()) {
      *found = gain;
    }
  }
}

}  // namespace

double ArmGain::mean() const {
  double sum = 0.0;
  for (const auto& [seed, value] : by_seed) sum += value;
  return by_seed.empty() ? kNoValue : sum / static_cast<double>(by_seed.size());
}

const ArmGain* Comparison::find(std::string_view arm) const {
  const auto found = std::ranges::find(gains, arm, &ArmGain::arm);
  return found == gains.end() ? nullptr : &*found;
}

std::string Comparison::name() const {
  const std::string where = context_text(coordinates);
  return fmt::format("{}, {}{}{}", item, horizon, where.empty() ? "" : ", ", where);
}

std::vector<Comparison> compare_with_no_method(const std::vector<Records>& reproductions) {
  std::vector<Comparison> comparisons;
  std::map<std::string, std::size_t> places;  // by the weights of the first seed
  for (const Records& records : reproductions) {
    for (const std::string& horizon : horizons_in_order(records)) {
      for (const Settings& context : contexts_in_order(records, horizon)) {
        const Runs without = runs_of(records, horizon, context, "none");
        if (without.empty()) continue;
        Comparison comparison = comparison_of(records, horizon, context, without);
        // A run that failed has none, and is the same as no other.
        const std::string& weights = without.begin()->second->weights_checksum;
        const auto known = places.find(weights);
        if (!weights.empty() && known != places.end()) {
          take_arms_of(comparisons[known->second], comparison);
          continue;
        }
        if (!weights.empty()) places.emplace(weights, comparisons.size());
        comparisons.push_back(std::move(comparison));
      }
    }
  }
  std::erase_if(comparisons, [](const Comparison& each) { return each.find(kMethod) == nullptr; });
  return comparisons;
}

}  // namespace gradstab::lab
