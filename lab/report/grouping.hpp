// Which runs are seeds of one configuration, what each run is called, and the spread over seeds.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "lab/run/run_record.hpp"

namespace gradstab::lab {

/// Runs that differ in nothing but the seed; most often several, sometimes one.
struct RunGroup {
  std::string label;
  std::vector<std::size_t> runs;      ///< indices into the report's runs, in their order
  std::vector<std::string> cautions;  ///< why the group may not be what it seems, one sentence each
};

/// The report's runs with unique labels, sorted into groups in order of appearance.
struct Arrangement {
  std::vector<std::string> run_labels;
  std::vector<RunGroup> groups;
  std::vector<std::size_t> group_of_run;

  /// Whether any group holds several runs, so that means and spreads exist.
  bool has_seeds() const { return groups.size() < run_labels.size(); }
};

/// `name` without its seed part: "adamw-seed3", "adamw (seed 3)" and "adamw/seed=3" all give "adamw". Names
/// without one are returned as they are.
std::string without_seed(std::string_view name);

/// Whether a settings key may differ between two runs of one configuration: the seed, names and output paths.
bool is_run_specific(std::string_view key);

/// The seed of a run as text, or its name's last part where settings hold no seed.
std::string seed_text(const RunRecord& run);

/// Puts two runs of one task into a group when their settings agree in every key that is not run-specific, or
/// when both names carry a seed and agree without it. In the second case differing settings are a caution.
Arrangement arrange(std::span<const RunRecord> runs);

/// Mean and sample standard deviation over the finite ones of some values.
struct Spread {
  double mean = kNoValue;
  double deviation = kNoValue;  ///< with n - 1; NaN for fewer than two finite values
  std::size_t finite = 0;       ///< how many values are in the mean
  std::size_t total = 0;
};

/// The spread of `values`.
Spread spread_of(std::span<const double> values);

}  // namespace gradstab::lab
