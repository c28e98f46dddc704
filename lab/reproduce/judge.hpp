// Verdicts on claims, from the runs and by a rule that is printed with them.
#pragma once

#include <array>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "lab/reproduce/claim.hpp"
#include "lab/reproduce/records.hpp"
#include "lab/reproduce/student.hpp"

namespace gradstab::lab {

enum class Verdict {
  reproduced,
  not_reproduced,
  no_difference,  ///< "no difference that matters": the interval lies within the margin of the claim's unit
  undecided,
};

inline constexpr std::array kVerdicts = {Verdict::reproduced, Verdict::not_reproduced, Verdict::no_difference,
                                         Verdict::undecided};

std::string_view to_string(Verdict verdict);

/// One effect at one horizon.
struct EffectResult {
  std::string label;
  bool control = false;
  std::vector<double> by_seed;  ///< of the seeds that have all of its runs
  double mean = kNoValue;
  double deviation = kNoValue;   ///< over seeds, with n - 1; NaN for fewer than two
  Interval interval;             ///< of the mean, 95 %
  double detectable = kNoValue;  ///< a mean that so many seeds show with a probability of 80 %
  Verdict verdict = Verdict::undecided;
};

struct HorizonResult {
  std::string horizon;
  double margin = kNoValue;           ///< of the claim's unit; NaN where it has none
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

/// Whether every effect that counts is: more seeds would change nothing.
bool all_decided(const std::vector<ClaimResult>& results);

/// The rule in words, for any records.
std::string rule_of_verdicts();
/// What Records::looks add to it; empty without any.
std::string rule_of_looks(const std::vector<int>& looks);
/// Both, for these.
std::string rule_of(const Records& records);

/// Everything above as JSON, for verdicts.json.
nlohmann::ordered_json to_json(const std::vector<ClaimResult>& results);

}  // namespace gradstab::lab
