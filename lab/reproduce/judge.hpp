// Verdicts on claims, from the runs and by a rule that is printed with them.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "lab/reproduce/claim.hpp"
#include "lab/reproduce/records.hpp"

namespace gradstab::lab {

enum class Verdict { reproduced, not_reproduced, undecided };

std::string_view to_string(Verdict verdict);

/// One effect at one horizon.
struct EffectResult {
  std::string label;
  bool control = false;
  std::vector<double> by_seed;  ///< of the seeds that have all of its runs
  double mean = kNoValue;
  double deviation = kNoValue;   ///< over seeds, with n - 1; NaN for fewer than two
  double half_width = kNoValue;  ///< of the 95 % interval of the mean, by Student's t; NaN for fewer than two
  Verdict verdict = Verdict::undecided;
};

struct HorizonResult {
  std::string horizon;
  std::vector<EffectResult> effects;  ///< those for which there are runs
  Verdict verdict = Verdict::undecided;
};

struct ClaimResult {
  Claim claim;
  std::vector<HorizonResult> horizons;
  Verdict verdict = Verdict::undecided;
};

/// Judges by rule_of_verdicts(). Horizons in the order of the records.
std::vector<ClaimResult> judge(const std::vector<Claim>& claims, const Records& records);

/// The rule in words.
std::string_view rule_of_verdicts();

/// The 97.5 % quantile of Student's t distribution.
double t_quantile(std::size_t degrees_of_freedom);

/// Everything above as JSON, for verdicts.json.
nlohmann::ordered_json to_json(const std::vector<ClaimResult>& results);

}  // namespace gradstab::lab
