// The page that says what decides whether a method helps, from all reproductions of a folder.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "lab/reproduce/comparison.hpp"

namespace gradstab::lab {

/// The file that the page is written to, beside the overview.
inline constexpr const char* kDecidesName = "what-decides.html";

/// One self-contained page, a function of the records alone.
std::string render_decides_page(const std::vector<Records>& reproductions);

/// Its charts, for charts.js: of each task what it gains against each factor, and the tasks side by side.
nlohmann::json decides_charts(const std::vector<Comparison>& comparisons);

}  // namespace gradstab::lab
