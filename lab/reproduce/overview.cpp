#include "lab/reproduce/overview.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <string_view>

#include "lab/page/markup.hpp"
#include "lab/report/grouping.hpp"
#include "lab/reproduce/items.hpp"
#include "lab/reproduce/names.hpp"
#include "lab/support/files.hpp"
#include "lab/support/gzip.hpp"

namespace gradstab::lab {
namespace {

constexpr std::string_view kIntroduction =
    "# Results\n"
    "\n"
    "What came out of the runs that are kept here, item by item: verdicts, the effects behind them, and the "
    "loss of "
    "every configuration.\n"
    "[Reproducing the paper](../reproduction.md) says what is asked, at which scale, and how to run it "
    "again. The page of "
    "an item has\n"
    "its charts; [what decides whether it helps](what-decides.html) is a page over all of them. Results on a "
    "GPU: [gpu](gpu/README.md).\n"
    "\n"
    "This file and that page are written by `gradstab reproduce --overview docs/results` from the records "
    "beside them; a "
    "test "
    "compares both with the records.\n";

/// The records in a folder, packed or not; an empty path if there are none.
std::filesystem::path records_in(const std::filesystem::path& folder) {
  for (const char* name : {"records.jsonl", "records.jsonl.gz"})
    if (std::filesystem::exists(folder / name)) return folder / name;
  return {};
}

Result<Records> read_records(const std::filesystem::path& file) {
  const auto named = [&](const Status& status) {
    return Status(status.code(), fmt::format("'{}' {}", file.string(), status.message()));
  };
  auto bytes = read_file(file, kRecordsFile);
  if (!bytes) return bytes.status();
  const auto text = unpacked(*std::move(bytes), kRecordsFile.max_bytes);
  if (!text) return named(text.status());
  auto records = records_from_json_lines(*text);
  if (!records) return named(records.status());
  if (find_item(records->item) == nullptr) {
    return named({StatusCode::corrupt_data,
                  fmt::format("holds runs of '{}', which is no item of this version", records->item)});
  }
  return records;
}

/// Text inside a cell of a table.
std::string cell(std::string_view text) {
  std::string escaped;
  for (const char c : text) {
    if (c == '|' || c == '<') escaped += '\\';
    escaped += c;
  }
  return escaped;
}

/// The head of a table with a column per horizon.
std::string table_head(std::string_view first, const std::vector<std::string>& horizons) {
  std::string names = fmt::format("| {} |", first);
  std::string rule = "|---|";
  for (const std::string& horizon : horizons) {
    names += fmt::format(" {} |", cell(horizon));
    rule += "---|";
  }
  return names + "\n" + rule + "\n";
}

template <class Result>
const Result* at_horizon(const std::vector<Result>& results, const std::string& horizon) {
  const auto found = std::ranges::find(results, horizon, &Result::horizon);
  return found == results.end() ? nullptr : &*found;
}

std::string verdict_table(const std::vector<ClaimResult>& results, const std::vector<std::string>& horizons) {
  std::string table = table_head("claim", horizons);
  for (const ClaimResult& result : results) {
    table += fmt::format("| {} |", cell(result.claim.text));
    for (const std::string& horizon : horizons) {
      const HorizonResult* const at = at_horizon(result.horizons, horizon);
      table += fmt::format(" {} |", at == nullptr ? kNothing : to_string(at->verdict));
    }
    table += "\n";
  }
  return table;
}

/// Mean and deviation over seeds, and the verdict; of what is undecided, between which numbers it is.
std::string effect_text(const EffectResult& effect, int digits) {
  std::string text = signed_decimals(effect.mean, digits);
  if (std::isfinite(effect.deviation)) text += fmt::format(" ± {}", decimals(effect.deviation, digits));
  if (effect.verdict != Verdict::undecided) return text + fmt::format(", {}", to_string(effect.verdict));
  if (effect.interval.is_known())
    text += fmt::format(", undecided between {} and {}", signed_decimals(effect.interval.low, digits),
                        signed_decimals(effect.interval.high, digits));
  return text;
}

/// One less than on the page of an item.
int overview_digits(const TaskInfo& measures) {
  return std::max(measures.score().digits - 1, 0);
}

std::string effect_table(const std::vector<ClaimResult>& results, const std::vector<std::string>& horizons,
                         const TaskInfo& measures) {
  std::string table = table_head("effect", horizons);
  for (const ClaimResult& result : results) {
    const int digits = result.claim.unit == "updates" ? 1 : overview_digits(measures);
    table += fmt::format("| *{}*, in {} |", cell(result.claim.text), cell(result.claim.unit));
    for (std::size_t i = 0; i < horizons.size(); ++i) table += " |";
    table += "\n";
    for (const Effect& effect : result.claim.effects) {
      std::string row;
      bool judged = false;
      for (const std::string& horizon : horizons) {
        const HorizonResult* const at = at_horizon(result.horizons, horizon);
        const EffectResult* found = nullptr;
        if (at != nullptr) {
          const auto place = std::ranges::find(at->effects, effect.label, &EffectResult::label);
          if (place != at->effects.end()) found = &*place;
        }
        judged = judged || found != nullptr;
        row += fmt::format(" {} |", found == nullptr ? std::string(kNothing) : effect_text(*found, digits));
      }
      if (judged) table += fmt::format("| {} |{}\n", cell(effect.label), row);
    }
  }
  return table;
}

/// "1.629 ± 0.010", with how many of the runs have no finite score where any has none.
std::string score_text(const Records& records, const std::string& horizon, const Settings& context,
                       const std::string& arm) {
  std::vector<double> scores;
  for (const ItemRun& run : records.runs)
    if (run.horizon == horizon && run.coordinates == context && run.arm == arm) scores.push_back(run.score);
  if (scores.empty()) return std::string(kNothing);
  const Spread spread = spread_of(scores);
  std::string text;
  const int digits = overview_digits(records.measures);
  if (spread.finite > 0) text = decimals(spread.mean, digits);
  if (spread.finite > 1) text += fmt::format(" ± {}", decimals(spread.deviation, digits));
  if (spread.finite < spread.total) {
    text += fmt::format("{}{} of {} not finite", text.empty() ? "" : ", ", spread.total - spread.finite,
                        spread.total);
  }
  return text;
}

std::string score_table(const Records& records, const std::vector<std::string>& horizons) {
  std::vector<Settings> contexts;
  for (const std::string& horizon : horizons)
    for (const Settings& context : contexts_in_order(records, horizon))
      if (std::ranges::find(contexts, context) == contexts.end()) contexts.push_back(context);
  std::string table =
      table_head(fmt::format("{} {}", records.measures.score().noun, records.measures.held_out), horizons);
  for (const Settings& context : contexts) {
    const std::string where = context_text(context);
    for (const std::string& arm : arms_in_order(records)) {
      std::string row;
      bool trained = false;
      for (const std::string& horizon : horizons) {
        const std::string text = score_text(records, horizon, context, arm);
        trained = trained || text != kNothing;
        row += fmt::format(" {} |", text);
      }
      if (trained)
        table +=
            fmt::format("| {}{}{} |{}\n", cell(where), where.empty() ? "" : ": ", cell(arm_label(arm)), row);
    }
  }
  return table;
}

/// "AMD EPYC, LibTorch 1.13.0, gradstab 0.1.0"
std::string machine_text(const Records& records) {
  if (!records.environment.is_object()) return "an unknown machine";
  const auto entry = [&](const char* key) {
    const auto found = records.environment.find(key);
    return found == records.environment.end() ? std::string("unknown") : plain_text(*found);
  };
  return fmt::format("{}, LibTorch {}, gradstab {}", entry("cpu"), entry("torch"), entry("version"));
}

std::string section_of(const Records& records) {
  const Item& item = *find_item(records.item);
  const std::vector<ClaimResult> results = judge(item.claims(), records);
  const std::vector<std::string> horizons = horizons_in_order(records);
  std::string text = fmt::format("\n## {}\n{}. {}\n\n", item.name, item.title, item.says);
  text += fmt::format("[Page]({}/report.html). `gradstab reproduce {} --scale {}`, {} runs, recorded on {}.",
                      item.name, item.name, records.scale, records.runs.size(), machine_text(records));
  for (const std::string& horizon : horizons)
    text += fmt::format(" {}: {}.", horizon, horizon_text(records, horizon));
  if (const std::string rule = rule_of_looks(records.looks); !rule.empty()) text += " " + rule;
  return text + "\n\n" + verdict_table(results, horizons) + "\n" +
         effect_table(results, horizons, records.measures) + "\n" + score_table(records, horizons);
}

}  // namespace

Result<std::vector<Records>> read_reproductions(const std::filesystem::path& folder) {
  std::error_code error;
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(folder, error)) {
    const std::filesystem::path file =
        entry.is_directory() ? records_in(entry.path()) : std::filesystem::path();
    if (!file.empty()) files.push_back(file);
  }
  if (error)
    return Status(StatusCode::io_error,
                  fmt::format("cannot read '{}': {}", folder.string(), error.message()));
  if (files.empty()) {
    return Status(StatusCode::invalid_argument,
                  fmt::format("no folder of '{}' has records.jsonl or records.jsonl.gz", folder.string()));
  }
  std::ranges::sort(files);
  std::vector<Records> reproductions;
  for (const auto& file : files) {
    auto records = read_records(file);
    if (!records) return records.status();
    reproductions.push_back(*std::move(records));
  }
  const auto place = [](const Records& records) { return find_item(records.item) - all_items().data(); };
  std::ranges::stable_sort(reproductions, {}, place);
  return reproductions;
}

std::string render_overview(const std::vector<Records>& reproductions) {
  std::string text(kIntroduction);
  std::vector<std::string> nouns;  // of the scores of all tasks, each once
  std::vector<std::string> definitions;
  for (const Records& records : reproductions) {
    if (std::ranges::count(nouns, records.measures.score().noun) > 0) continue;
    nouns.push_back(records.measures.score().noun);
    definitions.push_back(measure_definitions(records.measures));
  }
  text += fmt::format(
      "\n## How to read it\n{1}\n\nEffects are mean ± standard deviation over seeds, with the verdict; of an "
      "undecided one the ends of its interval. "
      "Controls do not count in a verdict. A {0} is the mean ± standard deviation over the seeds whose {0} "
      "is "
      "finite.\n\n{2}\n",
      fmt::join(nouns, " or "), rule_of_verdicts(), fmt::join(definitions, "\n\n"));
  for (const Records& records : reproductions) text += section_of(records);
  return text;
}

}  // namespace gradstab::lab
