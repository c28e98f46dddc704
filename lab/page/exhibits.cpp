#include "lab/page/exhibits.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <optional>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "lab/page/markup.hpp"
#include "lab/page/poses.hpp"
#include "lab/support/base64.hpp"

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

/// Width and height of a PNG file; nothing for what does not begin like one, or has other sizes than these
/// pages show.
std::optional<std::pair<std::uint32_t, std::uint32_t>> png_size(std::span<const std::byte> file) {
  constexpr std::string_view kBegin("\x89PNG\r\n\x1a\n\0\0\0\rIHDR", 16);
  if (file.size() < kBegin.size() + 8 || file.size() > kMostPngBytes) return {};
  if (std::memcmp(file.data(), kBegin.data(), kBegin.size()) != 0) return {};
  const auto number = [&](std::size_t at) {
    std::uint32_t value = 0;
    for (std::size_t i = 0; i < 4; ++i) value = value << 8U | std::to_integer<std::uint32_t>(file[at + i]);
    return value;
  };
  const std::uint32_t width = number(kBegin.size());
  const std::uint32_t height = number(kBegin.size() + 4);
  if (width < 1 || width > kMostPixels || height < 1 || height > kMostPixels) return {};
  return std::pair(width, height);
}

std::string pictures_of(const json& exhibit) {
  const auto pictures = exhibit.find("pictures");
  if (pictures == exhibit.end() || !pictures->is_array() || pictures->empty() ||
      pictures->size() > kMostPictures)
    return "";
  std::string html = "<ul class=\"pictures\">\n";
  for (const json& picture : *pictures) {
    if (!picture.is_object()) return "";
    const std::string png = text_of(picture, "png");
    // Longer than any that is shown; not worth decoding.
    if (png.size() > kMostPngBytes / 3 * 4 + 4) return "";
    const auto file = from_base64(png);
    const auto size = file ? png_size(*file) : std::nullopt;
    if (!size) return "";
    const auto good = picture.find("good");
    const bool judged = good != picture.end() && good->is_boolean();
    html += fmt::format(
        "<li><img src=\"data:image/png;base64,{}\" width=\"{}\" height=\"{}\" alt=\"{}\">"
        "<span{}>{}</span></li>\n",
        png, size->first, size->second, escape_html(text_of(picture, "alt")),
        !judged             ? ""
        : good->get<bool>() ? " class=\"state good\""
                            : " class=\"state bad\"",
        escape_html(text_of(picture, "text")));
  }
  return html + "</ul>\n";
}

}  // namespace

std::string exhibit_html(const json& exhibit) {
  if (!exhibit.is_object()) return "";
  const std::string kind = text_of(exhibit, "kind");
  if (is_poses(exhibit)) {
    const auto poses = read_poses(exhibit);
    return poses ? poses_html(*poses) : "";
  }
  const std::string content = kind == "table"      ? table_of(exhibit)
                              : kind == "lines"    ? lines_of(exhibit)
                              : kind == "pictures" ? pictures_of(exhibit)
                                                   : "";
  return content.empty() ? "" : "<figure>\n" + caption_of(exhibit) + content + "</figure>\n";
}

}  // namespace gradstab::lab
