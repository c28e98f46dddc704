#include "lab/report/common_data.hpp"

#include <fmt/format.h>

#include <map>
#include <utility>

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

}  // namespace gradstab::lab
