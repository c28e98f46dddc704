// What a reproduction leaves behind: records.jsonl, verdicts.json, report.html.
#pragma once

#include <array>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "gradstab/status.hpp"
#include "lab/reproduce/items.hpp"
#include "lab/reproduce/judge.hpp"

namespace gradstab::lab {

inline constexpr std::string_view kRecordsName = "records.jsonl";
inline constexpr std::string_view kVerdictsName = "verdicts.json";
inline constexpr std::string_view kPageName = "report.html";
inline constexpr std::array kOutputs = {kRecordsName, kVerdictsName, kPageName};

/// Writes the three files into `directory`, which is made if it is not there. Each is replaced whole or not
/// at all. Errors: those of writing.
Status write_outputs(const Item& item, const Records& records, const std::vector<ClaimResult>& results,
                     const std::filesystem::path& directory);

/// How far the reproduction in `directory` is: "63 of 63 runs; 1 reproduced, 3 undecided", "12 of 63 runs";
/// empty if there is none.
std::string state_of_reproduction(const std::filesystem::path& directory);

}  // namespace gradstab::lab
