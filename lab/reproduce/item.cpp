#include "lab/reproduce/item.hpp"

#include <algorithm>

namespace gradstab::lab {

std::string_view to_string(Scale scale) {
  return kScaleNames.at(static_cast<std::size_t>(scale));
}

std::optional<Scale> scale_named(std::string_view name) {
  const auto* const found = std::ranges::find(kScaleNames, name);
  if (found == kScaleNames.end()) return {};
  return static_cast<Scale>(found - kScaleNames.begin());
}

std::vector<Context> over(const std::string& key, const std::vector<std::string>& values) {
  std::vector<Context> contexts;
  contexts.reserve(values.size());
  for (const std::string& value : values) contexts.push_back({{{key, value}}, {{key, value}}});
  return contexts;
}

std::vector<Context> cross(const std::vector<Context>& outer, const std::vector<Context>& inner) {
  std::vector<Context> contexts;
  for (const Context& first : outer) {
    for (const Context& second : inner) {
      contexts.push_back(
          {joined(first.coordinates, second.coordinates), joined(first.settings, second.settings)});
    }
  }
  return contexts;
}

}  // namespace gradstab::lab
