#include "lab/sweep/grid.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <limits>
#include <numeric>
#include <optional>
#include <utility>

#include "lab/train/transform_factory.hpp"

namespace gradstab::lab {
namespace {

using Json = nlohmann::ordered_json;

/// More runs than anyone waits for: a slip in a range.
constexpr std::size_t kMostRuns = 10000;

Status invalid(std::string message) {
  return {StatusCode::invalid_argument, std::move(message)};
}

std::size_t edit_distance(const std::string& a, const std::string& b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = std::exchange(row[0], i);
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t substituted = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, substituted});
    }
  }
  return row.back();
}

std::vector<std::string> known_keys() {
  std::vector<std::string> keys;
  TrainOptions options;
  for_each_setting(options, [&](const char* name, const auto&, const char*) { keys.emplace_back(name); });
  for (const Shorthand& shorthand : shorthands()) {
    keys.emplace_back(shorthand.name);
    if (!shorthand.formerly.empty()) keys.emplace_back(shorthand.formerly);
  }
  return keys;
}

Status check_key(const std::string& key) {
  const auto keys = known_keys();
  if (std::ranges::count(keys, key) > 0) return {};
  const auto nearest = std::ranges::min_element(
      keys, {}, [&](const std::string& candidate) { return edit_distance(candidate, key); });
  return invalid(fmt::format("'{}' is not a setting; did you mean {}?", key, *nearest));
}

/// Both ends of "0..4".
std::optional<std::pair<std::int64_t, std::int64_t>> parse_range(const std::string& text) {
  const std::size_t dots = text.find("..");
  if (dots == std::string::npos) return {};
  std::int64_t first = 0;
  std::int64_t last = 0;
  const char* const end = text.data() + text.size();
  const auto left = std::from_chars(text.data(), text.data() + dots, first);
  const auto right = std::from_chars(text.data() + dots + 2, end, last);
  if (left.ec != std::errc() || left.ptr != text.data() + dots || right.ec != std::errc() || right.ptr != end)
    return {};
  return std::pair(first, last);
}

/// A word becomes what the setting holds: a number, a truth value or a word.
Result<Json> value_like(const Json& present, const std::string& text) {
  if (present.is_string()) return Json(text);
  const Json parsed = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  const bool fits = present.is_boolean()           ? parsed.is_boolean()
                    : present.is_number_float()    ? parsed.is_number()
                    : present.is_number_unsigned() ? parsed.is_number_unsigned()
                                                   : parsed.is_number_integer();
  if (fits) return parsed;
  return invalid(fmt::format("expected {}, got '{}'",
                             present.is_boolean()           ? "true or false"
                             : present.is_number_float()    ? "a number"
                             : present.is_number_unsigned() ? "a whole number of at least 0"
                                                            : "a whole number",
                             text));
}

/// What separators stand between that are outside of parentheses and brackets: semicolons, or else commas.
std::vector<std::string> values_of(const std::string& text) {
  const auto split = [&](char separator) {
    std::vector<std::string> values;
    int depth = 0;
    std::string value;
    for (const char character : text) {
      if (character == '(' || character == '[') ++depth;
      if (character == ')' || character == ']') --depth;
      if (character == separator && depth == 0) {
        values.push_back(std::exchange(value, {}));
      } else {
        value += character;
      }
    }
    if (!value.empty()) values.push_back(value);
    return values;
  };
  auto values = split(';');
  return values.size() > 1 || text.ends_with(';') ? values : split(',');
}

/// Names are folders too.
std::string name_of(const std::vector<std::pair<std::string, std::string>>& settings) {
  std::string name;
  for (const auto& [key, value] : settings)
    name += fmt::format("{}{}={}", name.empty() ? "" : ",", key, value);
  std::ranges::replace(name, '/', '_');
  return name;
}

Result<Json> overlaid(const TrainOptions& base,
                      const std::vector<std::pair<std::string, std::string>>& settings) {
  Json json = to_json(base);
  for (const auto& [key, value] : settings) {
    GRADSTAB_RETURN_IF_ERROR(check_key(key));
    if (key == "transform") {
      json[key] = for_keeping(value);
      continue;
    }
    if (find_shorthand(key) != nullptr) {
      const auto [name, said] = in_words_of_today(key, value);
      json[name] = said;
      continue;
    }
    const auto typed = value_like(json.at(key), value);
    if (!typed) return invalid(fmt::format("{}: {}", key, typed.status().message()));
    json[key] = *typed;
  }
  return json;
}

Result<SweepPoint> make_point(const TrainOptions& base,
                              std::vector<std::pair<std::string, std::string>> settings) {
  SweepPoint point{name_of(settings), std::move(settings), base};
  const auto json = overlaid(base, point.settings);
  if (!json) return json.status();
  auto options = train_options_from_json(*json);
  if (!options) return invalid(fmt::format("run '{}': {}", point.name, options.status().message()));
  point.options = *std::move(options);
  return point;
}

}  // namespace

Result<TrainOptions> with_settings(const TrainOptions& base,
                                   const std::vector<std::pair<std::string, std::string>>& settings) {
  const auto json = overlaid(base, settings);
  return json ? train_options_from_json(*json) : json.status();
}

Result<SweepAxis> parse_axis(const std::string& text) {
  const std::size_t equals = text.find('=');
  if (equals == std::string::npos || equals == 0)
    return invalid(fmt::format("an axis must be KEY=VALUE,VALUE,..., got '{}'", text));
  SweepAxis axis;
  axis.key = text.substr(0, equals);
  std::ranges::replace(axis.key, '-', '_');
  GRADSTAB_RETURN_IF_ERROR(check_key(axis.key));
  const std::string values = text.substr(equals + 1);
  if (const auto range = parse_range(values)) {
    if (range->first > range->second || range->second - range->first >= static_cast<std::int64_t>(kMostRuns))
      return invalid(fmt::format("{}: the range '{}' is empty or too long", axis.key, values));
    for (std::int64_t value = range->first; value <= range->second; ++value)
      axis.values.push_back(std::to_string(value));
    return axis;
  }
  axis.values = values_of(values);
  if (axis.values.empty()) return invalid(fmt::format("{}: no values, so there is nothing to run", axis.key));
  std::vector<std::string> sorted = axis.values;
  std::ranges::sort(sorted);
  if (const auto twice = std::ranges::adjacent_find(sorted); twice != sorted.end())
    return invalid(fmt::format("{}: '{}' is there twice", axis.key, *twice));
  return axis;
}

Result<std::vector<SweepPoint>> make_grid(const TrainOptions& base, const std::vector<SweepAxis>& axes) {
  if (axes.empty()) return invalid("nothing to sweep over: give at least one --over KEY=VALUE,VALUE,...");
  std::size_t count = 1;
  for (std::size_t i = 0; i < axes.size(); ++i) {
    for (std::size_t j = 0; j < i; ++j) {
      if (axes[i].key == axes[j].key) return invalid(fmt::format("{} is swept over twice", axes[i].key));
    }
    count *= axes[i].values.size();
    if (count > kMostRuns) return invalid(fmt::format("more than {} runs", kMostRuns));
  }
  std::vector<SweepPoint> points;
  for (std::size_t number = 0; number < count; ++number) {
    std::vector<std::pair<std::string, std::string>> settings(axes.size());
    std::size_t rest = number;
    for (std::size_t i = axes.size(); i-- > 0;) {
      settings[i] = {axes[i].key, axes[i].values[rest % axes[i].values.size()]};
      rest /= axes[i].values.size();
    }
    auto point = make_point(base, std::move(settings));
    if (!point) return point.status();
    const auto same = std::ranges::find(points, point->name, &SweepPoint::name);
    if (same != points.end()) return invalid(fmt::format("two runs would be named '{}'", point->name));
    points.push_back(*std::move(point));
  }
  return points;
}

}  // namespace gradstab::lab
