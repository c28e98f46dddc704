#include "lab/reproduce/judge.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <iterator>
#include <optional>
#include <set>

#include "lab/report/grouping.hpp"
#include "lab/reproduce/looks.hpp"
#include "lab/reproduce/names.hpp"

namespace gradstab::lab {
namespace {

using Json = nlohmann::ordered_json;

/// One per context: an arm may stand in two parts of a horizon.
std::vector<const ItemRun*> select(const Records& records, const std::string& horizon, const Term& term,
                                   int seed) {
  std::vector<const ItemRun*> runs;
  for (const ItemRun& run : records.runs) {
    if (run.horizon == horizon && run.arm == term.arm && run.seed == seed &&
        lies_in(run.coordinates, term.where))
      runs.push_back(&run);
  }
  return runs;
}

/// Of one seed; nothing if one of its runs is not there or has no such figure.
std::optional<double> value_of(const Effect& effect, const Records& records, const std::string& horizon,
                               int seed) {
  double value = effect.offset;
  for (const Term& term : effect.terms) {
    const auto runs = select(records, horizon, term, seed);
    if (runs.empty()) return {};
    value += term.weight * term.measure(runs);
  }
  if (!std::isfinite(value)) return {};
  return value;
}

bool has_runs(const Effect& effect, const Records& records, const std::string& horizon) {
  return std::ranges::all_of(effect.terms, [&](const Term& term) {
    return std::ranges::any_of(records.runs, [&](const ItemRun& run) {
      return run.horizon == horizon && run.arm == term.arm && lies_in(run.coordinates, term.where);
    });
  });
}

/// Mean over all contexts and seeds of the arm without a method; NaN without any.
double score_without_method(const Records& records, const std::string& horizon) {
  std::vector<double> scores;
  for (const ItemRun& run : records.runs)
    if (run.horizon == horizon && run.arm == "none") scores.push_back(run.judged_score());
  return spread_of(scores).mean;
}

/// What the interval says of an effect, given the margin within which it does not matter.
Verdict verdict_by(const Interval& interval, double margin) {
  if (interval.low > -margin && interval.high < margin) return Verdict::no_difference;
  // All seeds are equal to the last digit, as where neither has a spike.
  if (interval.low == 0.0 && interval.high == 0.0) return Verdict::no_difference;
  if (interval.high < 0.0) return Verdict::reproduced;
  if (interval.low > 0.0) return Verdict::not_reproduced;
  return Verdict::undecided;
}

EffectResult judge_effect(const Effect& effect, double margin, const Records& records,
                          const std::string& horizon, const std::set<int>& seeds) {
  EffectResult result;
  result.label = effect.label;
  result.control = effect.control;
  std::vector<double> values;  // NaN where a run of the seed is missing
  for (const int seed : seeds) values.push_back(value_of(effect, records, horizon, seed).value_or(kNoValue));
  std::ranges::copy_if(values, std::back_inserter(result.by_seed),
                       [](double value) { return std::isfinite(value); });
  const Spread spread = spread_of(result.by_seed);
  result.mean = spread.mean;
  result.deviation = spread.deviation;
  const double error_rate = records.looks.empty() ? kErrorRate : error_rates(records.looks).back();
  result.detectable = detectable_mean(spread.deviation, spread.finite, error_rate);
  result.interval = records.looks.empty()
                        ? interval_of_mean(spread.mean, spread.deviation, spread.finite, kErrorRate)
                        : interval_over_looks(values, records.looks);
  // A limit is not a difference, of which a margin speaks.
  result.verdict = verdict_by(result.interval, effect.offset == 0.0 ? margin : kNoValue);
  return result;
}

/// All say the same, or it is undecided.
template <class Results>
Verdict agreed(const Results& results) {
  if (results.empty()) return Verdict::undecided;
  const Verdict first = results.front().verdict;
  const bool same = std::ranges::all_of(results, [&](const auto& result) { return result.verdict == first; });
  return same ? first : Verdict::undecided;
}

/// Every deciding effect supports the claim, or one of them does not.
Verdict verdict_of(const std::vector<EffectResult>& effects) {
  const auto count = [&](Verdict verdict) {
    return std::ranges::count_if(
        effects, [&](const EffectResult& effect) { return !effect.control && effect.verdict == verdict; });
  };
  for (const Verdict verdict : {Verdict::not_reproduced, Verdict::no_difference, Verdict::undecided})
    if (count(verdict) > 0) return verdict;
  return count(Verdict::reproduced) > 0 ? Verdict::reproduced : Verdict::undecided;
}

Json number_or_null(double value) {
  return std::isfinite(value) ? Json(value) : Json(nullptr);
}

}  // namespace

std::string_view to_string(Verdict verdict) {
  switch (verdict) {
    case Verdict::reproduced:
      return "reproduced";
    case Verdict::not_reproduced:
      return "not reproduced";
    case Verdict::no_difference:
      return "no difference that matters";
    case Verdict::undecided:
      return "undecided";
  }
  return "unknown";
}

std::vector<ClaimResult> judge(const std::vector<Claim>& claims, const Records& records) {
  std::set<int> seeds;
  for (const ItemRun& run : records.runs) seeds.insert(run.seed);
  std::vector<ClaimResult> results;
  for (const Claim& claim : claims) {
    ClaimResult& result = results.emplace_back();
    result.claim = claim;
    for (const std::string& horizon : horizons_in_order(records)) {
      HorizonResult at;
      at.horizon = horizon;
      at.margin = margin_of(claim.unit, score_without_method(records, horizon));
      for (const Effect& effect : claim.effects) {
        if (has_runs(effect, records, horizon))
          at.effects.push_back(judge_effect(effect, at.margin, records, horizon, seeds));
      }
      if (std::ranges::all_of(at.effects, &EffectResult::control)) continue;
      at.verdict = verdict_of(at.effects);
      result.horizons.push_back(std::move(at));
    }
    result.verdict = agreed(result.horizons);
  }
  return results;
}

bool all_decided(const std::vector<ClaimResult>& results) {
  for (const ClaimResult& result : results)
    for (const HorizonResult& at : result.horizons)
      for (const EffectResult& effect : at.effects)
        if (!effect.control && effect.verdict == Verdict::undecided) return false;
  return true;
}

std::string rule_of_verdicts() {
  std::vector<std::string_view> margins;
  for (const Margin& margin : all_margins()) margins.push_back(margin.text);
  return fmt::format(
      "Runs are paired by seed: same weights at the start, same order of the data, same held-out data. An "
      "effect is the difference that a claim is about, so signed that below zero supports the claim. It "
      "makes no difference that matters if the 95 % interval of its mean over seeds (Student's t) lies "
      "within a margin on both sides of zero: {}; counts and limits have no margin, and differ unless all "
      "seeds are equal. Otherwise it is "
      "reproduced if the interval lies below zero, "
      "not reproduced if it lies above zero, and undecided if it does neither or there are fewer than two "
      "seeds. A claim is not reproduced at a horizon if any of its effects is not; otherwise it makes no "
      "difference that matters if any of them makes none, is undecided if any of them is, and reproduced "
      "if all are. Controls are shown and do not count. Over the horizons together it is what all of them "
      "say, and undecided if they differ.",
      fmt::join(margins, ", "));
}

std::string rule_of_looks(const std::vector<int>& looks) {
  if (looks.empty()) return {};
  return fmt::format(
      "Seeds were added until everything was decided, {} at most. Intervals were looked at after {} seeds. "
      "Each look may err with its share of 5 %, in proportion to the seeds since the look before, so that "
      "all intervals hold together with 95 % (Bonferroni); an effect has what they have in common.",
      looks.back(), fmt::join(looks, ", "));
}

std::string rule_of(const Records& records) {
  const std::string looks = rule_of_looks(records.looks);
  return rule_of_verdicts() + (looks.empty() ? "" : " ") + looks;
}

Json to_json(const std::vector<ClaimResult>& results) {
  Json list = Json::array();
  for (const ClaimResult& result : results) {
    Json horizons = Json::array();
    for (const HorizonResult& at : result.horizons) {
      Json effects = Json::array();
      for (const EffectResult& effect : at.effects) {
        effects.push_back({{"effect", effect.label},
                           {"control", effect.control},
                           {"by_seed", effect.by_seed},
                           {"mean", number_or_null(effect.mean)},
                           {"deviation", number_or_null(effect.deviation)},
                           {"low", number_or_null(effect.interval.low)},
                           {"high", number_or_null(effect.interval.high)},
                           {"detectable", number_or_null(effect.detectable)},
                           {"verdict", to_string(effect.verdict)}});
      }
      horizons.push_back({{"horizon", at.horizon},
                          {"margin", number_or_null(at.margin)},
                          {"verdict", to_string(at.verdict)},
                          {"effects", effects}});
    }
    list.push_back({{"claim", result.claim.text},
                    {"source", result.claim.source},
                    {"unit", result.claim.unit},
                    {"verdict", to_string(result.verdict)},
                    {"horizons", horizons}});
  }
  return list;
}

}  // namespace gradstab::lab
