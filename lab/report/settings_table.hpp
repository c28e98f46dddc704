// Settings side by side: what differs first and marked, what is the same folded away.
#pragma once

#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace gradstab::lab {

/// One column of a comparison: a heading and the objects of the runs that it stands for.
struct SettingsColumn {
  std::string heading;                         ///< untrusted text
  std::vector<const nlohmann::json*> objects;  ///< at least one
};

/// The leaves of `object` as dotted keys and display texts, in the order of the keys: {"a": {"b": 1}} gives
/// a.b = 1. `null` gives an empty text, like a key that is not there.
std::vector<std::pair<std::string, std::string>> flatten(const nlohmann::json& object);

/// The values that one key takes within a column, each once: "0, 1, 2". Empty if no object has the key.
std::string joined_values(const SettingsColumn& column, const std::string& key);

/// Keys whose values are not the same in every column.
std::vector<std::string> differing_keys(std::span<const SettingsColumn> columns);

/// HTML: a table of the keys that differ; folded away, the names and paths of single runs and what is the
/// same. `noun` says what the keys are: "settings".
std::string settings_table(std::span<const SettingsColumn> columns, const std::string& noun);

}  // namespace gradstab::lab
