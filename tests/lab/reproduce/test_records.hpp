// Runs made by hand; and kept pages.
#pragma once

#include <cmath>
#include <string>
#include <string_view>
#include <utility>

#include "lab/reproduce/records.hpp"
#include "tests/lab/llm_options.hpp"

namespace gradstab::lab {

inline ItemRun finished_run(const std::string& arm, int seed, double loss, Settings coordinates = {},
                            const std::string& horizon = "short") {
  ItemRun run;
  run.name = horizon + "," + arm + ",seed=" + std::to_string(seed);
  for (const auto& [key, value] : coordinates) run.name += "," + key + "=" + value;
  run.part = horizon;
  run.horizon = horizon;
  run.arm = arm;
  run.coordinates = std::move(coordinates);
  run.seed = seed;
  run.options = llm_options();
  run.state = "finished";
  run.score = loss;
  run.uninformed = std::log(256.0);
  run.diverged = !(loss < run.uninformed);
  return run;
}

inline Records records_of(std::vector<ItemRun> runs) {
  Records records;
  records.item = "figure-1";
  records.scale = "cpu";
  records.measures = llm_kind().info();
  records.measures.uninformed = std::log(256.0);
  records.environment = {{"cpu", "a test"}};
  records.data = {{"source", "by hand"}};
  records.runs = std::move(runs);
  return records;
}

/// Without Chart.js, of which every Debian has a build of its own.
inline std::string without_chart_js(const std::string& page) {
  const std::string_view opening = "<script>\n/*!";
  const std::size_t begin = page.find(opening);
  const std::size_t end = page.find("</script>", begin);
  if (begin == std::string::npos || end == std::string::npos) return "no Chart.js";
  return page.substr(0, begin) + page.substr(end);
}

}  // namespace gradstab::lab
