// README.md of a folder of reproductions: what came out of each of them, as Markdown.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "gradstab/status.hpp"
#include "lab/reproduce/judge.hpp"
#include "lab/reproduce/records.hpp"

namespace gradstab::lab {

/// The file that the overview is written to, in the folder that it is about.
inline constexpr const char* kOverviewName = "README.md";

/// Reads records.jsonl, or records.jsonl.gz, in every folder of `folder` that has one; in the order of
/// all_items(). Errors: those of reading, named with their file; records of an unknown item; no records at
/// all.
Result<std::vector<Records>> read_reproductions(const std::filesystem::path& folder);

/// Judges the records and renders verdicts, effects and losses. A function of its argument alone.
std::string render_overview(const std::vector<Records>& reproductions);

}  // namespace gradstab::lab
