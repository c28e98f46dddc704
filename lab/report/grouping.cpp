#include "lab/report/grouping.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <set>

#include "lab/page/markup.hpp"

namespace gradstab::lab {
namespace {

using nlohmann::json;

constexpr std::string_view kSeparators = "-_+ ,./:;(=[";

bool is_letter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}
bool is_digit(char c) {
  return c >= '0' && c <= '9';
}
bool is_separator(char c) {
  return kSeparators.find(c) != std::string_view::npos;
}

struct Range {
  std::size_t begin = std::string_view::npos;
  std::size_t end = std::string_view::npos;
  bool found() const { return begin != std::string_view::npos; }
};

/// Where "seed", any separators and digits stand as a word of their own.
Range find_seed(std::string_view name) {
  constexpr std::string_view kWord = "seed";
  for (std::size_t at = 0; at + kWord.size() < name.size(); ++at) {
    const bool word = std::equal(kWord.begin(), kWord.end(), name.begin() + static_cast<std::ptrdiff_t>(at),
                                 [](char want, char have) { return want == (have | 0x20); });
    if (!word || (at > 0 && is_letter(name[at - 1]))) continue;
    std::size_t digits = at + kWord.size();
    while (digits < name.size() && is_separator(name[digits])) ++digits;
    std::size_t end = digits;
    while (end < name.size() && is_digit(name[end])) ++end;
    if (end > digits) return {at, end};
  }
  return {};
}

json without_run_specific(const json& settings) {
  json result = json::object();
  for (const auto& [key, value] : settings.items()) {
    if (!is_run_specific(key)) result[key] = value;
  }
  return result;
}

/// Keys of the settings that are neither run-specific nor the same in all of `runs`.
std::vector<std::string> differing_keys(std::span<const RunRecord> all, std::span<const std::size_t> runs) {
  std::set<std::string> keys;
  for (const std::size_t run : runs) {
    for (const auto& item : all[run].settings.items()) keys.insert(item.key());
  }
  std::vector<std::string> result;
  for (const std::string& key : keys) {
    if (is_run_specific(key)) continue;
    const json first = all[runs.front()].settings.value(key, json());
    const bool same = std::all_of(runs.begin(), runs.end(), [&](std::size_t run) {
      return all[run].settings.value(key, json()) == first;
    });
    if (!same) result.push_back(key);
  }
  return result;
}

/// Finds the group of a run without looking at all of them: groups are known by the settings and by the name
/// of their first run.
class GroupFinder {
 public:
  /// The first group that `run` belongs to; `next`, the number of a new one, if there is none.
  std::size_t find_or_add(const RunRecord& run, std::size_t next) {
    std::size_t found = next;
    json settings = without_run_specific(run.settings);
    const bool by_settings = !settings.empty();
    const bool by_name = find_seed(run.name).found();
    BySettings::key_type settings_key{run.task, std::move(settings)};
    const ByName::key_type name_key{run.task, without_seed(run.name)};
    if (by_settings) found = std::min(found, number_in(by_settings_, settings_key, next));
    if (by_name) found = std::min(found, number_in(by_name_, name_key, next));
    if (found == next) {
      if (by_settings) by_settings_.emplace(std::move(settings_key), next);
      if (by_name) by_name_.emplace(name_key, next);
    }
    return found;
  }

 private:
  using BySettings = std::map<std::pair<std::string, json>, std::size_t>;
  using ByName = std::map<std::pair<std::string, std::string>, std::size_t>;

  template <class Map>
  static std::size_t number_in(const Map& map, const typename Map::key_type& key, std::size_t otherwise) {
    const auto entry = map.find(key);
    return entry == map.end() ? otherwise : entry->second;
  }

  BySettings by_settings_;
  ByName by_name_;
};

/// Makes `labels` unique: first by what distinguishes the settings, then by a number.
void distinguish(std::vector<std::string>& labels, std::span<const RunRecord> runs,
                 std::span<const std::size_t> representative, bool with_seed) {
  std::map<std::string, std::vector<std::size_t>> by_label;
  for (std::size_t i = 0; i < labels.size(); ++i) by_label[labels[i]].push_back(i);
  for (const auto& [label, members] : by_label) {
    if (members.size() < 2) continue;
    std::vector<std::size_t> member_runs;
    for (const std::size_t member : members) member_runs.push_back(representative[member]);
    std::vector<std::string> keys = differing_keys(runs, member_runs);
    constexpr std::size_t kMostKeys = 3;  // a label, not a table
    if (keys.size() > kMostKeys) keys.resize(kMostKeys);
    const auto seed = [&](std::size_t run) { return runs[run].settings.value("seed", json()); };
    const bool seeds_differ = std::any_of(member_runs.begin(), member_runs.end(), [&](std::size_t run) {
      return seed(run) != seed(member_runs.front());
    });
    for (const std::size_t member : members) {
      const RunRecord& run = runs[representative[member]];
      for (const std::string& key : keys) {
        if (run.settings.contains(key)) {
          labels[member] += fmt::format(", {} {}", key, plain_text(run.settings[key]));
        }
      }
      if (with_seed && seeds_differ && run.settings.contains("seed")) {
        labels[member] += ", seed " + plain_text(run.settings["seed"]);
      }
    }
  }
  std::set<std::string> taken;
  std::map<std::string, int> numbers;  // the last that was given to a label
  for (std::string& label : labels) {
    const std::string base = label;
    int& number = numbers.try_emplace(base, 1).first->second;
    while (!taken.insert(label).second) label = fmt::format("{} #{}", base, ++number);
  }
}

void add_cautions(RunGroup& group, std::span<const RunRecord> runs) {
  if (group.runs.size() < 2) return;
  const std::vector<std::string> keys = differing_keys(runs, group.runs);
  if (!keys.empty()) {
    group.cautions.push_back(
        fmt::format("By name the runs of {} are seeds of one configuration, but they differ in {}.",
                    group.label, fmt::join(keys, ", ")));
  }
  std::set<std::string> seeds;
  for (const std::size_t run : group.runs) {
    if (runs[run].settings.contains("seed") && !seeds.insert(seed_text(runs[run])).second) {
      group.cautions.push_back(
          fmt::format("{} holds seed {} more than once, so its spread is not a spread over seeds.",
                      group.label, seed_text(runs[run])));
      break;
    }
  }
}

}  // namespace

std::string without_seed(std::string_view name) {
  const Range seed = find_seed(name);
  if (!seed.found()) return std::string(name);
  std::size_t begin = seed.begin, end = seed.end;
  while (begin > 0 && is_separator(name[begin - 1])) --begin;
  const std::string_view dropped = name.substr(begin, seed.begin - begin);
  if (end < name.size() && ((name[end] == ')' && dropped.find('(') != std::string_view::npos) ||
                            (name[end] == ']' && dropped.find('[') != std::string_view::npos))) {
    ++end;
  }
  while (begin == 0 && end < name.size() && is_separator(name[end])) ++end;
  std::string result = std::string(name.substr(0, begin)) + std::string(name.substr(end));
  return result.empty() ? std::string(name) : result;
}

bool is_run_specific(std::string_view key) {
  constexpr std::array<std::string_view, 12> kKeys = {"seed",   "name",          "run_name", "out",
                                                      "output", "output_dir",    "out_dir",  "directory",
                                                      "run",    "run_directory", "resume",   "command"};
  return std::find(kKeys.begin(), kKeys.end(), key) != kKeys.end();
}

std::string seed_text(const RunRecord& run) {
  if (run.settings.contains("seed")) return plain_text(run.settings["seed"]);
  if (const Range seed = find_seed(run.name); seed.found()) {
    const std::string word = run.name.substr(seed.begin, seed.end - seed.begin);
    return word.substr(word.find_first_of("0123456789"));
  }
  return run.name;
}

Arrangement arrange(std::span<const RunRecord> runs) {
  Arrangement result;
  GroupFinder finder;
  for (std::size_t run = 0; run < runs.size(); ++run) {
    const std::size_t group = finder.find_or_add(runs[run], result.groups.size());
    if (group == result.groups.size()) result.groups.push_back({runs[run].name, {}, {}});
    result.groups[group].runs.push_back(run);
    result.group_of_run.push_back(group);
    result.run_labels.push_back(runs[run].name);
  }

  std::vector<std::size_t> each_run(runs.size());
  for (std::size_t i = 0; i < each_run.size(); ++i) each_run[i] = i;
  distinguish(result.run_labels, runs, each_run, true);

  std::vector<std::string> labels;
  std::vector<std::size_t> first_runs;
  for (const RunGroup& group : result.groups) {
    const std::string& name = runs[group.runs.front()].name;
    labels.push_back(group.runs.size() > 1 ? without_seed(name) : name);
    first_runs.push_back(group.runs.front());
  }
  distinguish(labels, runs, first_runs, false);
  if (!result.has_seeds()) labels = result.run_labels;  // one run each: the same thing under the same name
  for (std::size_t i = 0; i < labels.size(); ++i) {
    result.groups[i].label = labels[i];
    add_cautions(result.groups[i], runs);
  }
  return result;
}

Spread spread_of(std::span<const double> values) {
  Spread result;
  result.total = values.size();
  double sum = 0;
  for (const double value : values) {
    if (!std::isfinite(value)) continue;
    sum += value;
    ++result.finite;
  }
  if (result.finite == 0) return result;
  result.mean = sum / static_cast<double>(result.finite);
  if (result.finite < 2) return result;
  double squares = 0;
  for (const double value : values) {
    if (std::isfinite(value)) squares += (value - result.mean) * (value - result.mean);
  }
  result.deviation = std::sqrt(squares / static_cast<double>(result.finite - 1));
  return result;
}

}  // namespace gradstab::lab
