#include "lab/reproduce/outputs.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <vector>

#include "lab/reproduce/item_page.hpp"
#include "lab/support/files.hpp"

namespace gradstab::lab {
namespace {

/// The elements of a list in a file, each an object; none where the file does not read.
std::vector<Json> objects_in(const std::filesystem::path& file, const char* list) {
  const auto document = read_json_object(file);
  std::vector<Json> objects;
  if (!document || !document->contains(list)) return objects;
  for (const Json& element : (*document)[list])
    if (element.is_object()) objects.push_back(element);
  return objects;
}

std::string verdict_counts(const std::vector<Json>& verdicts) {
  std::string text;
  for (const Verdict verdict : kVerdicts) {
    const auto count = std::ranges::count_if(
        verdicts, [&](const Json& claim) { return claim.value("verdict", Json()) == to_string(verdict); });
    if (count > 0) text += fmt::format("{}{} {}", text.empty() ? "" : ", ", count, to_string(verdict));
  }
  return text;
}

}  // namespace

Status write_outputs(const Item& item, const Records& records, const std::vector<ClaimResult>& results,
                     const std::filesystem::path& directory) {
  std::error_code error;
  std::filesystem::create_directories(directory, error);
  if (error) {
    return {StatusCode::io_error, fmt::format("cannot create '{}': {}", directory.string(), error.message())};
  }
  const Json verdicts = {{"format", 1},
                         {"kind", "verdicts"},
                         {"item", records.item},
                         {"scale", records.scale},
                         {"rule", rule_of(records)},
                         {"claims", to_json(results)}};
  GRADSTAB_RETURN_IF_ERROR(write_file_atomically(directory / kRecordsName, to_json_lines(records)));
  GRADSTAB_RETURN_IF_ERROR(write_file_atomically(directory / kVerdictsName, verdicts.dump(2) + "\n"));
  return write_file_atomically(directory / kPageName, render_item_page(item, records, results));
}

std::string state_of_reproduction(const std::filesystem::path& directory) {
  const auto runs = objects_in(directory / "results.json", "runs");
  if (runs.empty()) return "";
  const auto finished =
      std::ranges::count_if(runs, [](const Json& run) { return run.value("state", Json()) == "finished"; });
  std::string text = fmt::format("{} of {} runs", finished, runs.size());
  const auto claims = objects_in(directory / kVerdictsName, "claims");
  if (!claims.empty()) text += "; " + verdict_counts(claims);
  return text;
}

}  // namespace gradstab::lab
