#include "lab/reproduce/judge.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <optional>
#include <set>

#include "lab/report/grouping.hpp"
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

EffectResult judge_effect(const Effect& effect, const Records& records, const std::string& horizon,
                          const std::set<int>& seeds) {
  EffectResult result;
  result.label = effect.label;
  result.control = effect.control;
  for (const int seed : seeds)
    if (const auto value = value_of(effect, records, horizon, seed)) result.by_seed.push_back(*value);
  const Spread spread = spread_of(result.by_seed);
  result.mean = spread.mean;
  result.deviation = spread.deviation;
  if (spread.finite < 2) return result;
  const auto count = static_cast<double>(spread.finite);
  result.half_width = t_quantile(spread.finite - 1) * spread.deviation / std::sqrt(count);
  if (result.mean + result.half_width < 0.0) result.verdict = Verdict::reproduced;
  if (result.mean - result.half_width > 0.0) result.verdict = Verdict::not_reproduced;
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

/// Every deciding effect supports the claim, or one of them speaks against it.
Verdict verdict_of(const std::vector<EffectResult>& effects) {
  bool any = false;
  bool all = true;
  for (const EffectResult& effect : effects) {
    if (effect.control) continue;
    if (effect.verdict == Verdict::not_reproduced) return Verdict::not_reproduced;
    any = true;
    all = all && effect.verdict == Verdict::reproduced;
  }
  return any && all ? Verdict::reproduced : Verdict::undecided;
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
      for (const Effect& effect : claim.effects) {
        if (has_runs(effect, records, horizon))
          at.effects.push_back(judge_effect(effect, records, horizon, seeds));
      }
      if (std::ranges::all_of(at.effects, &EffectResult::control)) continue;
      at.verdict = verdict_of(at.effects);
      result.horizons.push_back(std::move(at));
    }
    result.verdict = agreed(result.horizons);
  }
  return results;
}

std::string_view rule_of_verdicts() {
  return "Runs are paired by seed: same weights at the start, same order of the data, same held-out data. An "
         "effect is the difference that a claim is about, so signed that below zero supports the claim. It "
         "is reproduced if the 95 % interval of its mean over seeds (Student's t) lies below zero, not "
         "reproduced if the interval lies above zero, undecided otherwise and with fewer than two seeds. A "
         "claim is reproduced at a horizon if all of its effects are, not reproduced if any of them is not, "
         "undecided otherwise; controls are shown and do not count. Over the horizons together it is what "
         "all of them say, and undecided if they differ.";
}

double t_quantile(std::size_t degrees_of_freedom) {
  // Standard tables; beyond 30 the error of taking the last is below 5 %.
  constexpr std::array kTable = {12.7062, 4.3027, 3.1824, 2.7764, 2.5706, 2.4469, 2.3646, 2.3060,
                                 2.2622,  2.2281, 2.2010, 2.1788, 2.1604, 2.1448, 2.1314, 2.1199,
                                 2.1098,  2.1009, 2.0930, 2.0860, 2.0796, 2.0739, 2.0687, 2.0639,
                                 2.0595,  2.0555, 2.0518, 2.0484, 2.0452, 2.0423};
  if (degrees_of_freedom == 0) return kNoValue;
  return kTable.at(std::min(degrees_of_freedom, kTable.size()) - 1);
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
                           {"half_width", number_or_null(effect.half_width)},
                           {"verdict", to_string(effect.verdict)}});
      }
      horizons.push_back({{"horizon", at.horizon}, {"verdict", to_string(at.verdict)}, {"effects", effects}});
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
