#include "core/methods/unit_transform.hpp"

#include <map>
#include <string>
#include <string_view>

#include "core/base/text.hpp"

namespace gradstab {
namespace {

/// "name=pattern,pattern;name=pattern", with a backslash before these separators inside a name or pattern:
/// different groups never have the same text.
std::string groups_text(const Units& units) {
  std::string text;
  const auto add = [&](std::string_view part) {
    for (const char character : part) {
      if (std::string_view("=,;\\").find(character) != std::string_view::npos) text += '\\';
      text += character;
    }
  };
  for (const UnitGroup& group : units.groups) {
    if (!text.empty()) text += ';';
    add(group.name);
    for (std::size_t i = 0; i < group.patterns.size(); ++i) {
      text += i == 0 ? '=' : ',';
      add(group.patterns[i]);
    }
  }
  return text;
}

}  // namespace

UnitNorm unit_norm(const UnitReports& reports) noexcept {
  UnitNorm unit;
  for (std::size_t i = 0; i < reports.size(); ++i) {
    const TensorReport& report = reports[i];
    unit.present = unit.present || report.present;
    unit.nonfinite = unit.nonfinite || (report.present && !report.finite);
  }
  unit.norm = root_of_squares(reports.size(),
                              [&](std::size_t i) { return reports[i].present ? reports[i].norm() : 0.0; });
  return unit;
}

Status UnitTransform::bind(const ParameterSet& parameters, const Segments& segments) {
  auto map = UnitMap::create(units_, parameters, segments);
  if (!map) return map.status();
  map_ = std::move(*map);
  first_segment_.assign(segments.first().begin(), segments.first().end());
  tensor_names_.clear();
  if (units_.granularity == Granularity::group) {
    for (const Parameter& parameter : parameters) tensor_names_.push_back(parameter.name);
  }
  reset_units(map_.count());
  return {};
}

void UnitTransform::save_units(SettingsWriter& settings) const {
  settings.put("granularity", to_string(units_.granularity));
  settings.put("groups", groups_text(units_));
}

void UnitTransform::save_state(ByteWriter& writer, IndexRange tensors) const {
  const bool named = units_.granularity == Granularity::group;
  const IndexRange units = units_of(tensors);
  if (named) writer.put(static_cast<std::uint32_t>(units.size()));
  for (std::size_t unit = units.begin; unit < units.end; ++unit) {
    if (named) {
      writer.put(static_cast<std::uint8_t>(unit < map_.group_count()));
      writer.put(std::string_view(map_.names()[unit]));
    }
    save_unit(writer, unit);
  }
}

IndexRange UnitTransform::units_of(IndexRange tensors) const noexcept {
  const std::size_t count = first_segment_.size() - 1;
  if (tensors.size() == count || units_.granularity == Granularity::model) return {0, map_.count()};
  switch (units_.granularity) {
    case Granularity::row:
      return {first_segment_[tensors.begin], first_segment_[tensors.end]};
    case Granularity::group: {
      const std::size_t unit = map_.unit_of_tensor(tensors.begin);
      return {unit, unit + 1};
    }
    default:
      return tensors;
  }
}

Status UnitTransform::load_state(ByteReader& reader, const SavedParameters& saved) {
  switch (units_.granularity) {
    case Granularity::model:
      return load_unit(reader, 0);
    case Granularity::group:
      return load_groups(reader, saved);
    case Granularity::tensor:
    case Granularity::row:
      break;
  }
  const bool rows = units_.granularity == Granularity::row;
  for (std::size_t i = 0; i < saved.position.size(); ++i) {
    const std::ptrdiff_t position = saved.position[i];
    const std::size_t count = rows ? saved.rows[i] : 1;
    for (std::size_t row = 0; row < count; ++row) {
      std::ptrdiff_t unit = position;
      if (rows && position >= 0) {
        unit = static_cast<std::ptrdiff_t>(first_segment_[static_cast<std::size_t>(position)] + row);
      }
      GRADSTAB_RETURN_IF_ERROR(load_unit(reader, unit));
    }
  }
  return {};
}

Status UnitTransform::load_groups(ByteReader& reader, const SavedParameters& saved) {
  const bool same_parameters = saved.same;
  std::map<std::string_view, std::ptrdiff_t> position;
  for (std::size_t i = 0; i < saved.names.size(); ++i) position.emplace(saved.names[i], saved.position[i]);
  const auto corrupt = [&](const auto&... what) {
    return Status(StatusCode::corrupt_data, detail::concat("state of '", name(), "' has ", what...));
  };
  const auto count = reader.get<std::uint32_t>();
  if (same_parameters && count != map_.count()) {
    return corrupt(count, " units, expected ", map_.count());
  }
  std::vector<bool> seen(map_.count(), false);
  for (std::uint32_t i = 0; i < count; ++i) {
    const bool is_group = reader.get<std::uint8_t>() != 0;
    const std::string unit_name = reader.get_string();
    std::ptrdiff_t unit = -1;  // a tensor that is gone
    if (is_group) {
      unit = map_.find(true, unit_name);
    } else if (const auto found = position.find(unit_name); found != position.end() && found->second >= 0) {
      unit = map_.find(false, tensor_names_[static_cast<std::size_t>(found->second)]);
    }
    GRADSTAB_RETURN_IF_ERROR(load_unit(reader, unit));
    if (unit < 0) {
      if (!same_parameters) continue;
      return corrupt("moments of ", is_group ? "group '" : "tensor '", unit_name, "', which is no unit here");
    }
    if (seen[static_cast<std::size_t>(unit)]) return corrupt("moments of '", unit_name, "' twice");
    seen[static_cast<std::size_t>(unit)] = true;
  }
  return {};
}

}  // namespace gradstab
