// Every configuration that was trained without a method and with some: how spiky it is, and what each method
// gains in it.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "lab/reproduce/arms.hpp"
#include "lab/reproduce/records.hpp"

namespace gradstab::lab {

/// By how much a run without a method costs more than one with it.
struct ArmGain {
  std::string arm;
  std::map<int, double> by_seed;  ///< of the seeds that have both runs

  double mean() const;
};

/// One configuration at one horizon. Costs are judged costs (records.hpp): lower is better, whatever the
/// score is.
struct Comparison {
  std::string item;  ///< the first that has it
  std::string horizon;
  Settings coordinates;
  TaskInfo measures;
  TrainOptions options;       ///< of the first run without a method
  double norm_spikes = 0.0;   ///< of the runs without a method, per 1,000 updates that were recorded
  double largest_norm = 0.0;  ///< of the same: over the running median; infinite if a norm is not finite
  double cost = kNoValue;     ///< of the same, mean over seeds
  double learned = kNoValue;  ///< by how much that is below the cost of an uninformed guess
  std::vector<ArmGain> gains;

  /// Whether somebody disturbed its gradients on purpose.
  bool injected() const { return !options.inject_spikes.empty(); }
  /// Null where the arm was not trained.
  const ArmGain* find(std::string_view arm) const;
  /// "figure-1, short, lr 0.003"
  std::string name() const;
};

/// All configurations that have kMethod and no method with a common seed, in the order of the records. One
/// that stands in several items counts once: its runs without a method have the same weights in the end. Each
/// of its arms comes from the item that has it with the most seeds.
std::vector<Comparison> compare_with_no_method(const std::vector<Records>& reproductions);

}  // namespace gradstab::lab
