#include "lab/sweep/grid.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "lab/support/numbers.hpp"
#include "lab/train/task_kind.hpp"
#include "lab/train/transform_factory.hpp"

namespace gradstab::lab {
namespace {

/// More runs than anyone waits for: a slip in a range.
constexpr std::size_t kMostRuns = 10000;

Status invalid(std::string message) {
  return {StatusCode::invalid_argument, std::move(message)};
}

Status check_key(const TrainOptions& options, const std::string& key) {
  const auto known = setting_names(options);
  if (std::ranges::count(known, key) > 0 || find_shorthand(key) != nullptr) return {};
  return invalid(fmt::format("'{}' is not a setting; did you mean {}?", key, nearest_setting(options, key)));
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
    GRADSTAB_RETURN_IF_ERROR(check_key(options, key));
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
Json value_of(const TrainOptions& base, const std::string& key, const std::string& text) {
  TrainOptions options = base.kind == nullptr ? TrainOptions() : default_options(*base.kind);
  const Shorthand* const shorthand = find_shorthand(key);
  if (shorthand != nullptr) options.transform = shorthand->method;
  if (!put_over(options, {{key, text}}).ok()) return text;
  if (shorthand == nullptr && key != "transform") return to_json(options).at(key);
  const auto transform = with_shorthands(options.transform, options.shorthand);
  return transform ? Json(*transform) : Json(text);
}

/// A value in another spelling is the same run.
std::vector<std::string> without_repetitions(const TrainOptions& base, const std::string& key,
                                             const std::vector<std::string>& texts) {
  std::vector<std::string> kept;
  std::vector<Json> values;
  for (const std::string& text : texts) {
    Json value = value_of(base, key, text);
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
  if (point.options.tensorboard)
    return invalid("tensorboard must be false in a sweep, whose runs are shown by its report, got true");
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

Result<SweepAxis> parse_axis(const TrainOptions& base, const std::string& text) {
  const std::size_t equals = text.find('=');
  if (equals == std::string::npos || equals == 0)
    return invalid(fmt::format("an axis must be KEY=VALUE,VALUE,..., got '{}'", text));
  SweepAxis axis;
  axis.key = text.substr(0, equals);
  std::ranges::replace(axis.key, '-', '_');
  GRADSTAB_RETURN_IF_ERROR(check_key(base, axis.key));
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
  axis.values = without_repetitions(base, axis.key, axis.values);
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
