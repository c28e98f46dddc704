// Lists that people write.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace gradstab::lab {

/// One part more than there are separators. Parts may be empty, so that nothing is lost of what was written.
inline std::vector<std::string> split(std::string_view text, char separator) {
  std::vector<std::string> parts;
  for (std::size_t end; (end = text.find(separator)) != std::string_view::npos; text.remove_prefix(end + 1))
    parts.emplace_back(text.substr(0, end));
  parts.emplace_back(text);
  return parts;
}

}  // namespace gradstab::lab
