// Taking a generated page apart.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

namespace gradstab::lab::testing {

inline std::size_t count_of(const std::string& text, const std::string& part) {
  std::size_t count = 0;
  for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++count;
  return count;
}

/// What stands between the first `open` at or after `from` and the next `close`; empty if there is no `open`.
inline std::string between(const std::string& text, const std::string& open, const std::string& close,
                           std::size_t from = 0) {
  const std::size_t begin = text.find(open, from);
  if (begin == std::string::npos) return "";
  return text.substr(begin + open.size(), text.find(close, begin + open.size()) - begin - open.size());
}

/// The JSON that the page's script reads.
inline nlohmann::json inlined_data(const std::string& page) {
  return nlohmann::json::parse(between(page, "id=\"page-data\">", "</script>"));
}

/// Without block comments: Chart.js names its home page in one.
inline std::string without_comments(const std::string& page) {
  std::string result;
  std::size_t at = 0;
  while (true) {
    const std::size_t open = page.find("/*", at);
    result += page.substr(at, open == std::string::npos ? open : open - at);
    if (open == std::string::npos) return result;
    at = page.find("*/", open) + 2;
  }
}

}  // namespace gradstab::lab::testing
