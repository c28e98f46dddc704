#include "core/step/unit_map.hpp"

#include <algorithm>
#include <numeric>

#include "core/base/text.hpp"

namespace gradstab {

std::string_view to_string(Granularity granularity) noexcept {
  const std::string_view name = choice_name(granularity);
  return name.empty() ? "unknown" : name;
}

Status Units::validate() const {
  const auto invalid = [](std::string message) {
    return Status(StatusCode::invalid_argument, std::move(message));
  };
  if (granularity > Granularity::model) {
    return invalid(detail::concat("granularity must be tensor, row, group or model, got value ",
                                  static_cast<int>(granularity)));
  }
  if (granularity != Granularity::group) {
    if (groups.empty()) return {};
    return invalid(detail::concat("groups are given, but granularity is '", to_string(granularity),
                                  "', expected 'group'"));
  }
  if (groups.empty()) return invalid("granularity 'group' needs at least one group, got none");
  for (std::size_t g = 0; g < groups.size(); ++g) {
    const UnitGroup& group = groups[g];
    if (group.name.empty()) return invalid(detail::concat("group ", g, " has an empty name"));
    if (group.patterns.empty()) return invalid("group '" + group.name + "' has no patterns");
    const auto same_name = [&](const UnitGroup& other) { return other.name == group.name; };
    if (std::count_if(groups.begin(), groups.end(), same_name) > 1) {
      return invalid("group name '" + group.name + "' is used twice; names must be unique");
    }
  }
  return {};
}

bool matches(std::string_view pattern, std::string_view text) noexcept {
  std::size_t p = 0;
  std::size_t t = 0;
  std::size_t star = std::string_view::npos;  // the last star, and where its text ends so far
  std::size_t star_end = 0;
  while (t < text.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      star_end = t;
    } else if (p < pattern.size() && pattern[p] == text[t]) {
      ++p;
      ++t;
    } else if (star != std::string_view::npos) {
      p = star + 1;
      t = ++star_end;
    } else {
      return false;
    }
  }
  return pattern.find_first_not_of('*', p) == std::string_view::npos;
}

void UnitMap::add_unit(std::span<const std::size_t> segments) {
  for (const std::size_t segment : segments) unit_of_segment_[segment] = count();
  members_.insert(members_.end(), segments.begin(), segments.end());
  first_.push_back(members_.size());
}

Result<UnitMap> UnitMap::create(const Units& units, const ParameterSet& parameters,
                                const Segments& segments) {
  UnitMap map;
  map.segment_count_ = segments.count();
  if (units.granularity == Granularity::row) {
    for (std::size_t t = 0; t < parameters.size(); ++t) {
      const std::size_t pieces = segments.of_tensor(t).size();
      if (pieces == row_count(parameters[t].sizes)) continue;
      return Status(
          StatusCode::unsupported,
          detail::concat("'", parameters[t].name, "' has ", row_count(parameters[t].sizes),
                         " rows but is divided into ", pieces,
                         " pieces by the optimizer; granularity 'row' cannot be combined with that"));
    }
  }
  const bool whole = units.granularity == Granularity::tensor && !segments.rows();
  if (whole || units.granularity == Granularity::row) {
    map.identity_ = true;
    return map;
  }
  map.unit_of_segment_.resize(segments.count());
  std::vector<std::size_t> all(segments.count());
  std::iota(all.begin(), all.end(), std::size_t{0});
  const auto of_tensor = [&](std::size_t tensor) {
    const IndexRange range = segments.of_tensor(tensor);
    return std::span<const std::size_t>(all).subspan(range.begin, range.size());
  };
  if (units.granularity == Granularity::model) {
    map.add_unit(all);
    return map;
  }
  if (units.granularity == Granularity::tensor) {
    for (std::size_t t = 0; t < parameters.size(); ++t) map.add_unit(of_tensor(t));
    return map;
  }

  const std::size_t none = units.groups.size();
  std::vector<std::size_t> group_of_tensor(parameters.size(), none);
  for (std::size_t t = 0; t < parameters.size(); ++t) {
    const auto found = std::ranges::find_if(units.groups, [&](const UnitGroup& group) {
      return std::ranges::any_of(
          group.patterns, [&](const std::string& pattern) { return matches(pattern, parameters[t].name); });
    });
    group_of_tensor[t] = static_cast<std::size_t>(found - units.groups.begin());
  }
  map.group_count_ = units.groups.size();
  map.unit_of_tensor_ = group_of_tensor;  // of those in a group
  for (std::size_t g = 0; g < units.groups.size(); ++g) {
    std::vector<std::size_t> members;
    bool any = false;
    for (std::size_t t = 0; t < parameters.size(); ++t) {
      if (group_of_tensor[t] != g) continue;
      any = true;
      const auto own = of_tensor(t);
      members.insert(members.end(), own.begin(), own.end());
    }
    if (!any && parameters.size() > 0) {
      return Status(StatusCode::invalid_argument,
                    detail::concat("no parameter belongs to group '", units.groups[g].name, "' (pattern '",
                                   units.groups[g].patterns.front(), "'); the first parameter is '",
                                   parameters[0].name, "'"));
    }
    map.names_.push_back(units.groups[g].name);
    map.add_unit(members);
  }
  for (std::size_t t = 0; t < parameters.size(); ++t) {
    if (group_of_tensor[t] != none) continue;
    map.names_.push_back(parameters[t].name);
    map.unit_of_tensor_[t] = map.count();
    map.add_unit(of_tensor(t));
  }
  map.by_name_.resize(map.count());
  std::iota(map.by_name_.begin(), map.by_name_.end(), std::size_t{0});
  const auto first_alone = map.by_name_.begin() + static_cast<std::ptrdiff_t>(map.group_count_);
  const auto name_of = [&](std::size_t unit) -> std::string_view { return map.names_[unit]; };
  std::ranges::sort(map.by_name_.begin(), first_alone, {}, name_of);
  std::ranges::sort(first_alone, map.by_name_.end(), {}, name_of);
  return map;
}

std::ptrdiff_t UnitMap::find(bool group, std::string_view name) const noexcept {
  const auto part =
      group ? std::span(by_name_).first(group_count_) : std::span(by_name_).subspan(group_count_);
  const auto name_of = [this](std::size_t unit) -> std::string_view { return names_[unit]; };
  const auto found = std::ranges::lower_bound(part, name, {}, name_of);
  return found == part.end() || names_[*found] != name ? -1 : static_cast<std::ptrdiff_t>(*found);
}

IndexRange UnitMap::units_within(IndexRange segments) const noexcept {
  if (identity_) return segments;
  if (segments.size() == segment_count_) return {0, count()};
  if (segments.size() == 0) return {0, 0};
  return {unit_of_segment_[segments.begin], unit_of_segment_[segments.end - 1] + 1};
}

}  // namespace gradstab
