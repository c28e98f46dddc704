#include "lab/sweep/grid.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <numeric>
#include <optional>
#include <utility>

#include "lab/support/numbers.hpp"
#include "lab/train/transform_factory.hpp"

namespace gradstab::lab {
namespace {

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
  const auto first = parse_number<std::int64_t>(text.substr(0, dots));
  const auto last = parse_number<std::int64_t>(text.substr(dots + 2));
  if (!first || !last) return {};
  return std::pair(*first, *last);
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
    // A semicolon at the end says that commas are part of a value.
    if (!value.empty() || separator == ',') values.push_back(value);
    return values;
  };
  if (text.empty()) return {};
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

/// The last of a name counts.
void put_over(std::vector<std::pair<std::string, std::string>>& given,
              std::pair<std::string, std::string> setting) {
  std::erase_if(given, [&](const auto& earlier) { return earlier.first == setting.first; });
  given.push_back(std::move(setting));
}

Status put_over(TrainOptions& options, const std::vector<std::pair<std::string, std::string>>& settings) {
  for (const auto& [key, value] : settings) {
    GRADSTAB_RETURN_IF_ERROR(check_key(key));
    if (find_shorthand(key) != nullptr) {
      put_over(options.shorthand, in_words_of_today(key, value));
    } else if (const Status set = set_setting(options, key, value); !set.ok()) {
      return invalid(fmt::format("{}: {}", key, set.message()));
    }
  }
  return {};
}

/// Takes the settings of methods into the transform.
Status complete(TrainOptions& options) {
  auto transform = with_shorthands(options.transform, std::exchange(options.shorthand, {}));
  if (!transform) return transform.status();
  options.transform = *std::move(transform);
  return options.validate();
}

/// What the setting holds after it was given this text; the text itself where it cannot hold it, which
/// make_grid refuses with the name of the run.
Json value_of(const std::string& key, const std::string& text) {
  TrainOptions options;
  const Shorthand* const shorthand = find_shorthand(key);
  if (shorthand != nullptr) options.transform = shorthand->method;
  if (!put_over(options, {{key, text}}).ok()) return text;
  if (shorthand == nullptr && key != "transform") return to_json(options).at(key);
  const auto transform = with_shorthands(options.transform, options.shorthand);
  return transform ? Json(*transform) : Json(text);
}

/// A value in another spelling is the same run.
std::vector<std::string> without_repetitions(const std::string& key, const std::vector<std::string>& texts) {
  std::vector<std::string> kept;
  std::vector<Json> values;
  for (const std::string& text : texts) {
    Json value = value_of(key, text);
    if (std::ranges::count(values, value) > 0) continue;
    kept.push_back(text);
    values.push_back(std::move(value));
  }
  return kept;
}

Result<SweepPoint> make_point(const TrainOptions& base,
                              std::vector<std::pair<std::string, std::string>> settings) {
  SweepPoint point{name_of(settings), std::move(settings), base};
  GRADSTAB_RETURN_IF_ERROR(put_over(point.options, point.settings));
  if (const Status valid = complete(point.options); !valid.ok())
    return invalid(fmt::format("run '{}': {}", point.name, valid.message()));
  return point;
}

}  // namespace

Result<TrainOptions> with_settings(const TrainOptions& base,
                                   const std::vector<std::pair<std::string, std::string>>& settings) {
  TrainOptions options = base;
  GRADSTAB_RETURN_IF_ERROR(put_over(options, settings));
  GRADSTAB_RETURN_IF_ERROR(complete(options));
  return options;
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
    // Of unsigned numbers, since the distance may need all 64 bits.
    const std::uint64_t more =
        static_cast<std::uint64_t>(range->second) - static_cast<std::uint64_t>(range->first);
    if (range->first > range->second || more >= kMostRuns)
      return invalid(fmt::format("{}: the range '{}' is empty or too long", axis.key, values));
    for (std::uint64_t i = 0; i <= more; ++i)
      axis.values.push_back(std::to_string(range->first + static_cast<std::int64_t>(i)));
    return axis;
  }
  axis.values = values_of(values);
  if (axis.values.empty()) return invalid(fmt::format("{}: no values, so there is nothing to run", axis.key));
  std::vector<std::string> sorted = axis.values;
  std::ranges::sort(sorted);
  if (const auto twice = std::ranges::adjacent_find(sorted); twice != sorted.end())
    return invalid(fmt::format("{}: '{}' is given twice", axis.key, *twice));
  axis.values = without_repetitions(axis.key, axis.values);
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
