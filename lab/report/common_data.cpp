#include "lab/report/common_data.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>
#include <utility>
#include <vector>

#include "lab/tasks.hpp"

namespace gradstab::lab {

Status check_common_data(std::span<const RunRecord> runs) {
  using nlohmann::json;
  std::map<json, const RunRecord*> first;  // by what names the data
  for (const RunRecord& run : runs) {
    const json sum = run.data.value("sha256", json());
    const TaskKind* const kind = find_task(run.task);
    if (sum.is_null() || kind == nullptr) continue;
    json named = json::array({run.task});
    for (const std::string_view key : kind->data_settings())
      named.push_back(run.settings.value(std::string(key), json()));
    const RunRecord& other = *first.try_emplace(std::move(named), &run).first->second;
    if (other.data.value("sha256", json()) == sum) continue;
    return {
        StatusCode::failed_precondition,
        fmt::format("runs '{}' and '{}' were trained on different data: the data have changed between them, "
                    "and they cannot be compared",
                    other.name, run.name)};
  }
  return {};
}

std::string data_that_differ(std::span<const RunRecord> runs) {
  using nlohmann::json;
  if (runs.empty()) return "";
  const RunRecord& first = runs.front();
  const TaskKind* const kind = find_task(first.task);
  if (kind == nullptr) return "";
  std::vector<std::string> names;
  for (const std::string_view name : kind->data_settings()) {
    const std::string key(name);
    if (std::ranges::any_of(runs, [&](const RunRecord& run) {
          return run.settings.value(key, json()) != first.settings.value(key, json());
        }))
      names.push_back(key);
  }
  const bool other_sum = std::ranges::any_of(runs, [&](const RunRecord& run) {
    return run.data.value("sha256", json()) != first.data.value("sha256", json());
  });
  if (names.empty() && other_sum) return "the content of the data";
  return fmt::format("{}", fmt::join(names, ", "));
}

}  // namespace gradstab::lab
