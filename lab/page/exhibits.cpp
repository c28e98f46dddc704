#include "lab/page/exhibits.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "lab/page/markup.hpp"

namespace gradstab::lab {
namespace {

using nlohmann::json;

constexpr double kWidth = 640.0;
constexpr double kHeight = 220.0;
constexpr std::size_t kColours = 7;  // of page.css

std::string text_of(const json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}

/// Empty unless the member is a list of numbers and nulls.
std::vector<double> numbers_of(const json& object, const char* key) {
  const auto found = object.find(key);
  std::vector<double> numbers;
  if (found == object.end() || !found->is_array()) return {};
  for (const json& value : *found) {
    if (!value.is_number() && !value.is_null()) return {};
    numbers.push_back(value.is_null() ? std::numeric_limits<double>::quiet_NaN() : value.get<double>());
  }
  return numbers;
}

std::string caption_of(const json& exhibit) {
  return fmt::format("<figcaption><b>{}</b> {}</figcaption>\n", escape_html(text_of(exhibit, "title")),
                     escape_html(text_of(exhibit, "caption")));
}

std::string table_of(const json& exhibit) {
  const auto columns = exhibit.find("columns");
  const auto rows = exhibit.find("rows");
  if (columns == exhibit.end() || rows == exhibit.end() || !columns->is_array() || !rows->is_array())
    return "";
  std::string html = "<div class=\"scroll\" tabindex=\"0\"><table class=\"numbers\"><thead><tr>";
  for (const json& column : *columns)
    html += "<th scope=\"col\">" + escape_html(plain_text(column)) + "</th>";
  html += "</tr></thead><tbody>\n";
  for (const json& row : *rows) {
    if (!row.is_array()) return "";
    html += "<tr>";
    for (const json& cell : row) html += "<td>" + escape_html(plain_text(cell)) + "</td>";
    html += "</tr>\n";
  }
  return html + "</tbody></table></div>\n";
}

struct Range {
  double low = std::numeric_limits<double>::infinity();
  double high = -std::numeric_limits<double>::infinity();

  void add(const std::vector<double>& values) {
    for (const double value : values) {
      if (!std::isfinite(value)) continue;
      low = std::min(low, value);
      high = std::max(high, value);
    }
  }
  /// From 0 to 1; in the middle where all values are equal.
  double place(double value) const { return high > low ? (value - low) / (high - low) : 0.5; }
};

/// Interrupted where a value is missing.
std::string path_of(const std::vector<double>& x, const std::vector<double>& y, const Range& across,
                    const Range& up) {
  std::string path;
  bool drawing = false;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const bool there = std::isfinite(x[i]) && std::isfinite(y[i]);
    if (there) {
      path += fmt::format("{}{:.1f} {:.1f}", drawing ? "L" : "M", across.place(x[i]) * kWidth,
                          (1.0 - up.place(y[i])) * kHeight);
    }
    drawing = there;
  }
  return path;
}

std::string lines_of(const json& exhibit) {
  const std::vector<double> x = numbers_of(exhibit, "x");
  const auto lines = exhibit.find("lines");
  if (x.empty() || lines == exhibit.end() || !lines->is_array() || lines->empty()) return "";
  std::vector<std::vector<double>> values;
  Range across, up;
  across.add(x);
  for (const json& line : *lines) {
    values.push_back(line.is_object() ? numbers_of(line, "y") : std::vector<double>());
    if (values.back().size() != x.size()) return "";
    up.add(values.back());
  }
  // Nothing to draw, or a span that no number can hold.
  if (!std::isfinite(across.high - across.low) || !std::isfinite(up.high - up.low)) return "";
  std::string legend;
  std::string paths;
  for (std::size_t i = 0; i < values.size(); ++i) {
    const std::size_t colour = i % kColours;
    legend += fmt::format("<span class=\"chip\"><span class=\"swatch c{}\"></span>{}</span> ", colour,
                          escape_html(text_of((*lines)[i], "label")));
    paths += fmt::format("<path style=\"stroke:var(--c{})\" d=\"{}\" fill=\"none\" stroke-width=\"1.5\"/>",
                         colour, path_of(x, values[i], across, up));
  }
  return fmt::format(
      "<p>{}</p>\n<svg style=\"width:100%;max-width:640px\" viewBox=\"-4 -4 {:.0f} {:.0f}\" role=\"img\" "
      "aria-label=\"{}\">{}</svg>\n"
      "<p class=\"quiet\">Across: {:g} to {:g}. Up: {} to {}.</p>\n",
      legend, kWidth + 8.0, kHeight + 8.0, escape_html(text_of(exhibit, "title")), paths, across.low,
      across.high, significant(up.low), significant(up.high));
}

}  // namespace

std::string exhibit_html(const json& exhibit) {
  if (!exhibit.is_object()) return "";
  const std::string kind = text_of(exhibit, "kind");
  const std::string content = kind == "table" ? table_of(exhibit) : kind == "lines" ? lines_of(exhibit) : "";
  return content.empty() ? "" : "<figure>\n" + caption_of(exhibit) + content + "</figure>\n";
}

}  // namespace gradstab::lab
