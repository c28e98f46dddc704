#include "lab/reproduce/factors.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <map>
#include <set>
#include <utility>

#include "lab/reproduce/names.hpp"

namespace gradstab::lab {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

/// Values up to `most` that no level before has taken.
struct Range {
  double most;
  const char* label;
};

void add_to_level(std::vector<Level>& levels, const std::string& label, const Comparison* comparison) {
  auto found = std::ranges::find(levels, label, &Level::label);
  if (found == levels.end()) found = levels.insert(levels.end(), {label, {}});
  found->members.push_back(comparison);
}

/// Levels by ranges, empty ones left out.
void sort_into(Factor& factor, const std::vector<Range>& ranges) {
  factor.is_number = true;
  double above = -kInfinity;
  for (const Range& range : ranges) {
    Level level{range.label, {}};
    for (std::size_t i = 0; i < factor.members.size(); ++i)
      if (factor.values[i] > above && factor.values[i] <= range.most)
        level.members.push_back(factor.members[i]);
    if (!level.members.empty()) factor.levels.push_back(std::move(level));
    above = range.most;
  }
}

/// Levels by text, in the order in which they appear.
Factor by_text(const std::string& name, std::string about, const Configurations& members,
               const std::function<std::string(const Comparison&)>& text) {
  Factor factor{name, name, std::move(about), {}};
  factor.members = members;
  for (const Comparison* each : members) add_to_level(factor.levels, text(*each), each);
  return factor;
}

Factor by_norm_spikes(const Configurations& members) {
  Factor factor{"norm spikes per 1,000 updates without a method",
                "norm spikes per 1,000 updates",
                "A norm spike is more than 3 times the running median.",
                {}};
  factor.members = members;
  for (const Comparison* each : members) factor.values.push_back(each->norm_spikes);
  sort_into(factor, {{0.0, "none"}, {10.0, "up to 10"}, {kInfinity, "more than 10"}});
  return factor;
}

Factor by_largest_norm(const Configurations& members) {
  Factor factor{"largest norm over the running median without a method",
                "largest norm / running median",
                "The largest of a run, mean over seeds.",
                {}};
  factor.logarithmic = true;
  factor.members = members;
  for (const Comparison* each : members) factor.values.push_back(each->largest_norm);
  sort_into(factor, {{5.0, "up to 5"}, {10.0, "5 to 10"}, {kInfinity, "more than 10"}});
  return factor;
}

/// Configurations that differ in one setting alone, by everything else.
std::vector<Configurations> families_over(const std::string& setting, const Configurations& members) {
  std::map<std::string, std::size_t> places;
  std::vector<Configurations> families;
  for (const Comparison* each : members) {
    Json settings = to_json(each->options);
    settings.erase(setting);
    settings.erase("seed");
    const auto [place, added] = places.emplace(settings.dump(), families.size());
    if (added) families.emplace_back();
    families[place->second].push_back(each);
  }
  std::erase_if(families, [](const Configurations& family) { return family.size() < 2; });
  return families;
}

Factor by_learning_rate(const Configurations& members) {
  Factor factor{"learning rate over the best one without a method", "learning rate / best one", "", {}};
  factor.logarithmic = true;
  const std::vector<Configurations> families = families_over("lr", members);
  std::size_t at_the_edge = 0;
  for (const Configurations& family : families) {
    const Comparison& best = **std::ranges::min_element(family, {}, &Comparison::cost);
    const auto rate = [](const Comparison* each) { return each->options.lr; };
    if (best.options.lr == rate(std::ranges::min(family, {}, rate))) ++at_the_edge;
    for (const Comparison* each : family) {
      factor.members.push_back(each);
      factor.values.push_back(each->options.lr / best.options.lr);
    }
  }
  factor.about = fmt::format(
      "Configurations that differ in nothing but the learning rate, {} families. In {} of them the best rate "
      "is the lowest that was tried, so that a lower one may be better still.",
      families.size(), at_the_edge);
  sort_into(factor, {{std::nextafter(1.0, 0.0), "below the best"},
                     {1.0, "the best"},
                     {5.0, "up to 5 times the best"},
                     {kInfinity, "more than 5 times"}});
  return factor;
}

/// Both horizons of an item have it, or it is left out.
Factor by_horizon(const Configurations& members) {
  Configurations matched;
  for (const Comparison* each : members) {
    if (std::ranges::any_of(members, [&](const Comparison* other) {
          return other->item == each->item && other->coordinates == each->coordinates &&
                 other->horizon != each->horizon;
        }))
      matched.push_back(each);
  }
  return by_text("horizon", "Configurations that were trained at both horizons.", matched,
                 [](const Comparison& each) { return each.horizon; });
}

Factor by_precision(const Configurations& members) {
  Configurations matched;
  const auto families = families_over("precision", members);
  for (const Configurations& family : families) matched.insert(matched.end(), family.begin(), family.end());
  Factor factor =
      by_text("precision",
              fmt::format("Configurations that differ in nothing but the precision, {} families; not every "
                          "family has every precision.",
                          families.size()),
              matched, [](const Comparison& each) { return each.options.precision; });
  constexpr std::string_view kFromFine[] = {"fp32", "bf16", "fp16", "fp4", "int4"};
  std::ranges::sort(factor.levels, {}, [&](const Level& level) {
    return std::ranges::find(kFromFine, level.label) - std::begin(kFromFine);
  });
  return factor;
}

Factor by_optimizer(const Configurations& all) {
  Configurations members;
  for (const Comparison* each : all)
    if (!each->injected()) members.push_back(each);
  return by_text("optimizer", "All that nobody disturbed, each at its own learning rate.", members,
                 [](const Comparison& each) { return coordinate_text("optimizer", each.options.optimizer); });
}

Factor by_injection(const Configurations& all) {
  Configurations members;
  for (const Comparison* each : all)
    if (each->injected()) members.push_back(each);
  Factor factor = by_text(
      "what was injected", "Disturbed on purpose; in no other group.", members, [](const Comparison& each) {
        Settings rest = each.coordinates;
        std::erase_if(rest, [](const auto& entry) { return entry.first == "optimizer"; });
        return coordinate_text("optimizer", each.options.optimizer) + ", " + context_text(rest);
      });
  factor.axis = "largest norm / running median, without a method";
  factor.is_number = factor.logarithmic = true;
  for (const Comparison* each : members) factor.values.push_back(each->largest_norm);
  return factor;
}

}  // namespace

std::vector<std::string> tasks_in_order(const std::vector<Comparison>& comparisons) {
  std::vector<std::string> tasks;
  for (const Comparison& each : comparisons)
    if (std::ranges::find(tasks, each.measures.name) == tasks.end()) tasks.push_back(each.measures.name);
  return tasks;
}

Configurations of_task(const std::vector<Comparison>& comparisons, std::string_view task) {
  Configurations members;
  for (const Comparison& each : comparisons)
    if (each.measures.name == task) members.push_back(&each);
  return members;
}

bool is_ordinary(const Comparison& comparison) {
  return !comparison.injected() && comparison.options.optimizer != "sgd";
}

Configurations ordinary(const Configurations& all) {
  Configurations members;
  for (const Comparison* each : all)
    if (is_ordinary(*each)) members.push_back(each);
  return members;
}

std::vector<Factor> factors_of(const Configurations& of_one_task) {
  const Configurations undisturbed = ordinary(of_one_task);
  std::vector<Factor> factors = {by_norm_spikes(undisturbed),   by_largest_norm(undisturbed),
                                 by_learning_rate(undisturbed), by_horizon(undisturbed),
                                 by_precision(undisturbed),     by_optimizer(of_one_task),
                                 by_injection(of_one_task)};
  std::erase_if(factors, [](const Factor& factor) { return factor.levels.size() < 2; });
  return factors;
}

double gain_in(const Comparison& comparison, const ArmGain& gain, GainUnit unit) {
  if (unit == GainUnit::own) return gain.mean();
  return comparison.learned > 0.0 ? 100.0 * gain.mean() / comparison.learned : kNoValue;
}

Pooled pooled(const Configurations& members, std::string_view arm, GainUnit unit) {
  Pooled result;
  std::vector<double> gains;
  for (const Comparison* each : members) {
    const ArmGain* const gain = each->find(arm);
    if (gain == nullptr) continue;
    gains.push_back(gain_in(*each, *gain, unit));
    result.pairs += gain->by_seed.size();
    double lead = 0.0;  // over the seeds that both have
    std::size_t seeds = 0;
    for (const auto& [seed, value] : each->find(kMethod)->by_seed) {
      const auto own = gain->by_seed.find(seed);
      if (own == gain->by_seed.end()) continue;
      lead += own->second - value;
      ++seeds;
    }
    if (seeds == 0) continue;
    ++result.compared;
    if (lead >= 0.0) ++result.as_good;
  }
  result.gain = spread_of(gains);
  constexpr std::size_t kFewest = 3;
  if (result.gain.finite >= kFewest)
    result.interval =
        interval_of_mean(result.gain.mean, result.gain.deviation, result.gain.finite, kErrorRate);
  return result;
}

}  // namespace gradstab::lab
