#include "lab/watch/difference.hpp"

#include <algorithm>
#include <cstddef>
#include <string>

namespace gradstab::lab::watch {
namespace {

using nlohmann::json;

/// Whether `after` has all that `before` has, so that no member has to go.
bool can_be_changed_into(const json& before, const json& after) {
  if (before.is_object() && after.is_object()) {
    return std::ranges::all_of(before.items(), [&](const auto& item) { return after.contains(item.key()); });
  }
  return before.is_array() && after.is_array() && !before.empty() && before.size() <= after.size() &&
         std::ranges::all_of(before, [](const json& element) { return element.is_structured(); });
}

}  // namespace

std::optional<json> difference(const json& before, const json& after) {
  if (!can_be_changed_into(before, after)) {
    if (before == after) return std::nullopt;
    return json::array({after});
  }
  json changes = json::object();
  const auto add = [&](const std::string& key, const json* old, const json& value) {
    if (old == nullptr) {
      changes[key] = json::array({value});
    } else if (auto inner = difference(*old, value)) {
      changes[key] = *std::move(inner);
    }
  };
  if (after.is_object()) {
    for (const auto& [key, value] : after.items()) {
      const auto old = before.find(key);
      add(key, old == before.end() ? nullptr : &*old, value);
    }
  } else {
    for (std::size_t i = 0; i < after.size(); ++i)
      add(std::to_string(i), i < before.size() ? &before[i] : nullptr, after[i]);
  }
  if (changes.empty()) return std::nullopt;
  return changes;
}

}  // namespace gradstab::lab::watch
