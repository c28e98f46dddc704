#include "core/base/option_checks.hpp"
#include "core/base/text.hpp"
#include "core/optimizer/optimizer_rule.hpp"

namespace gradstab {

static Status check_field(const Setting& setting, const std::vector<AdamMiniOptions::Override>& overrides) {
  for (const AdamMiniOptions::Override& given : overrides) {
    if (!choice_name(given.unit).empty()) continue;
    return {StatusCode::invalid_argument,
            detail::concat("unit of '", given.pattern, "' in ", setting.name,
                           " has no such choice, got value ", static_cast<int>(given.unit))};
  }
  return {};
}

namespace {

/// What no range of a single setting says.
template <class Options>
Status check_together(const Options&) {
  return {};
}

Status check_together(const SgdOptions& options) {
  if (options.nesterov && (options.momentum == 0.0 || options.dampening != 0.0)) {
    return {StatusCode::invalid_argument,
            detail::concat("nesterov needs momentum above 0 and dampening 0, got ", options.momentum, " and ",
                           options.dampening)};
  }
  return {};
}

}  // namespace

std::string_view name_of(const OptimizerOptions& options) noexcept {
  return std::visit([](const auto& typed) { return typed.name(); }, options);
}

Status check_lr(double lr) {
  return detail::check_ranges(SgdOptions{.lr = lr});
}

Status validate(const OptimizerOptions& options) {
  return std::visit(
      [](const auto& typed) -> Status {
        GRADSTAB_RETURN_IF_ERROR(detail::check_ranges(typed));
        return check_together(typed);
      },
      options);
}

}  // namespace gradstab
