#include "results.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>
#include <stdexcept>

namespace gradstab::bench {
namespace {

std::string verdict(const Row& row) {
  if (row.target == 0.0) return "-";
  return row.met() ? "met" : "missed";
}

std::string target_text(const Row& row) {
  if (row.target == 0.0) return "-";
  return fmt::format("{} {:.2f}", row.better == Better::lower ? "<=" : ">=", row.target);
}

}  // namespace

void print_table(const Results& results) {
  fmt::print("{}, {} hardware threads, backend {}, {} repeats{}\n", results.processor,
             results.processor_threads, results.backend, results.repeats,
             results.quick ? ", quick (smaller model)" : "");
  fmt::print("{:<58} {:>7} {:>8} {:>7} {:>9} {:>7} {:>10} {:>7}\n", "ratio of times", "threads", "median",
             "MAD", "target", "", "ms / step", "GB/s");
  for (const Row& row : results.rows) {
    fmt::print("{:<58} {:>7} {:>8.2f} {:>7.2f} {:>9} {:>7} {:>10.3f} {:>7.1f}\n", row.name, row.threads,
               row.ratio.median, row.ratio.mad, target_text(row), verdict(row), row.seconds * 1e3,
               row.gigabytes_per_second);
  }
}

void write_json(const Results& results, const std::string& path) {
  nlohmann::json rows = nlohmann::json::array();
  for (const Row& row : results.rows) {
    nlohmann::json entry = {{"name", row.name},
                            {"threads", row.threads},
                            {"ratio", row.ratio.median},
                            {"mad", row.ratio.mad},
                            {"better", row.better == Better::lower ? "lower" : "higher"},
                            {"seconds", row.seconds},
                            {"gigabytes_per_second", row.gigabytes_per_second}};
    if (row.target != 0.0) {
      entry["target"] = row.target;
      entry["met"] = row.met();
    }
    rows.push_back(std::move(entry));
  }
  const nlohmann::json document = {
      {"processor", results.processor}, {"processor_threads", results.processor_threads},
      {"backend", results.backend},     {"repeats", results.repeats},
      {"quick", results.quick},         {"rows", std::move(rows)}};
  std::ofstream file(path);
  file << document.dump(2) << '\n';
  file.close();
  if (!file) throw std::runtime_error("cannot write " + path);
}

Results read_json(const std::string& path) {
  std::ifstream file(path);
  if (!file) throw std::runtime_error("cannot read " + path);
  try {
    const auto document = nlohmann::json::parse(file);
    Results results;
    results.processor = document.at("processor");
    results.processor_threads = document.at("processor_threads");
    results.backend = document.at("backend");
    results.repeats = document.at("repeats");
    results.quick = document.at("quick");
    for (const auto& entry : document.at("rows")) {
      Row row;
      row.name = entry.at("name");
      row.threads = entry.at("threads");
      row.ratio = {entry.at("ratio"), entry.at("mad")};
      row.better = entry.at("better") == "lower" ? Better::lower : Better::higher;
      row.target = entry.value("target", 0.0);
      row.seconds = entry.at("seconds");
      row.gigabytes_per_second = entry.at("gigabytes_per_second");
      results.rows.push_back(std::move(row));
    }
    return results;
  } catch (const nlohmann::json::exception& error) {
    throw std::runtime_error(path + " is not a result of gradstab_bench: " + error.what());
  }
}

int print_comparison(const Results& now, const Results& before, double margin) {
  int worse = 0;
  fmt::print("\n{:<58} {:>7} {:>8} {:>8} {:>9}\n", "against the earlier run", "threads", "before", "now",
             "change");
  if (now.quick != before.quick) fmt::print("  one of the runs was --quick: the workloads differ\n");
  for (const Row& row : now.rows) {
    const auto found = std::ranges::find_if(before.rows, [&](const Row& other) {
      return other.name == row.name && other.threads == row.threads;
    });
    if (found == before.rows.end()) {
      fmt::print("{:<58} {:>7} {:>8} {:>8.2f}  new\n", row.name, row.threads, "", row.ratio.median);
      continue;
    }
    // Above 1: worse than before, whichever way the ratio points.
    const double change = row.better == Better::lower ? row.ratio.median / found->ratio.median
                                                      : found->ratio.median / row.ratio.median;
    const bool is_worse = change > 1.0 + margin;
    worse += is_worse ? 1 : 0;
    fmt::print("{:<58} {:>7} {:>8.2f} {:>8.2f} {:>+8.0f}% {}\n", row.name, row.threads, found->ratio.median,
               row.ratio.median, (row.ratio.median / found->ratio.median - 1.0) * 100.0,
               is_worse ? "worse" : "");
  }
  for (const Row& row : before.rows) {
    const bool gone = std::ranges::none_of(
        now.rows, [&](const Row& other) { return other.name == row.name && other.threads == row.threads; });
    if (gone) fmt::print("{:<58} {:>7} {:>8.2f}           gone\n", row.name, row.threads, row.ratio.median);
  }
  return worse;
}

}  // namespace gradstab::bench
