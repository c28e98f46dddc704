#include "lab/report/settings_table.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <unordered_set>

#include "lab/page/markup.hpp"
#include "lab/report/grouping.hpp"

namespace gradstab::lab {
namespace {

using nlohmann::json;
using Leaves = std::vector<std::pair<std::string, std::string>>;

void collect(const json& value, const std::string& prefix, int depth, Leaves& leaves) {
  constexpr int kDeepest = 4;  // deeper objects are shown as JSON: the files are untrusted
  for (const auto& [key, member] : value.items()) {
    std::string path = prefix;
    if (!path.empty()) path += '.';
    path += key;
    if (member.is_object() && !member.empty() && depth < kDeepest) {
      collect(member, path, depth + 1, leaves);
    } else {
      leaves.emplace_back(path, member.is_null() ? std::string() : plain_text(member));
    }
  }
}

/// Values in the order in which they came, each once.
class DistinctValues {
 public:
  void add(const std::string& value) {
    if (seen_.insert(value).second) values_.push_back(value);
  }

  /// "0, 1, 2"; empty values are shown as such where there are others.
  std::string joined() const {
    std::vector<std::string> shown = values_;
    if (shown.size() > 1) std::replace(shown.begin(), shown.end(), std::string(), std::string(kNothing));
    return fmt::format("{}", fmt::join(shown, ", "));
  }

 private:
  std::vector<std::string> values_;
  std::unordered_set<std::string> seen_;
};

/// Every key with one text per column, "" where a column lacks the key.
std::map<std::string, std::vector<std::string>> rows_of(std::span<const SettingsColumn> columns) {
  std::map<std::string, std::vector<std::string>> rows;
  for (std::size_t column = 0; column < columns.size(); ++column) {
    std::map<std::string, DistinctValues> values;
    for (const json* object : columns[column].objects)
      for (const auto& [key, text] : flatten(*object)) values[key].add(text);
    for (const auto& [key, distinct] : values)
      rows.try_emplace(key, columns.size()).first->second[column] = distinct.joined();
  }
  return rows;
}

constexpr const char* kTableStart = "<div class=\"scroll\" tabindex=\"0\"><table class=\"settings\">";
constexpr const char* kTableEnd = "</tbody></table></div>\n";

bool all_equal(const std::vector<std::string>& texts) {
  return std::adjacent_find(texts.begin(), texts.end(), std::not_equal_to<>()) == texts.end();
}

std::string value_cell(const std::string& text) {
  return fmt::format("<td>{}</td>", text.empty() ? std::string(kNothing) : escape_html(text));
}

}  // namespace

Leaves flatten(const json& object) {
  Leaves leaves;
  if (object.is_object()) collect(object, "", 1, leaves);
  return leaves;
}

std::string joined_values(const SettingsColumn& column, const std::string& key) {
  DistinctValues values;
  for (const json* object : column.objects) {
    for (const auto& [path, text] : flatten(*object))
      if (path == key) values.add(text);
  }
  return values.joined();
}

std::vector<std::string> differing_keys(std::span<const SettingsColumn> columns) {
  std::vector<std::string> keys;
  for (const auto& [key, texts] : rows_of(columns)) {
    if (!all_equal(texts)) keys.push_back(key);
  }
  return keys;
}

std::string settings_table(std::span<const SettingsColumn> columns, const std::string& noun) {
  std::string differing, same, specific;
  std::size_t same_count = 0, specific_count = 0;
  for (const auto& [key, texts] : rows_of(columns)) {
    const bool equal = all_equal(texts);
    const bool is_specific = !equal && key != "seed" && is_run_specific(key);
    std::string row = fmt::format("<tr><th scope=\"row\"><code>{}</code></th>", escape_html(key));
    for (const std::string& text : texts) {
      row += value_cell(text);
      if (equal) break;
    }
    (equal ? same : is_specific ? specific : differing) += row + "</tr>\n";
    same_count += equal ? 1 : 0;
    specific_count += is_specific ? 1 : 0;
  }
  if (differing.empty() && same.empty() && specific.empty()) {
    return fmt::format("<p class=\"quiet\">No {} recorded.</p>\n", noun);
  }

  const auto head = [&](const char* first) {
    std::string row = fmt::format("{}<thead><tr><th scope=\"col\">{}</th>", kTableStart, first);
    for (const SettingsColumn& column : columns) {
      row += fmt::format("<th scope=\"col\">{}</th>", breakable_html(column.heading));
    }
    return row + "</tr></thead>\n<tbody>\n";
  };
  std::string html;
  if (!differing.empty()) {
    html += head("Differs") + differing + kTableEnd;
  } else if (columns.size() > 1) {
    html += fmt::format("<p class=\"quiet\">All {} are the same.</p>\n", noun);
  }
  if (!specific.empty()) {
    html += fmt::format("<details><summary>Names and paths ({})</summary>{}{}{}</details>\n", specific_count,
                        head("Key"), specific, kTableEnd);
  }
  if (!same.empty()) {
    const bool alone = columns.size() == 1;
    html += fmt::format("<details{}><summary>{} {} {}</summary>{}<tbody>\n{}{}</details>\n",
                        alone ? " open" : "", same_count, noun,
                        alone ? "recorded" : "are the same everywhere", kTableStart, same, kTableEnd);
  }
  return html;
}

}  // namespace gradstab::lab
