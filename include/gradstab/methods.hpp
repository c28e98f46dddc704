// The methods and optimizers by name: a list of them, the settings of each, and how to make them from texts
// such as "zclip(z_threshold=3)+stabilize".
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "gradstab/export.hpp"
#include "gradstab/optimizer.hpp"
#include "gradstab/options.hpp"
#include "gradstab/status.hpp"
#include "gradstab/transform.hpp"

namespace gradstab {

/// The kind of value that a setting has, which decides how a text writes it.
enum class SettingKind : std::uint8_t {
  number,     ///< 0.5, 1e-8, inf
  count,      ///< 25
  flag,       ///< true or false
  choice,     ///< one of `SettingInfo::choices`
  patterns,   ///< [head.*, *.bias]
  groups,     ///< [attention=*.q_proj.*,*.k_proj.*; rest=mlp.*]
  overrides,  ///< [*.embed=row, *.gate=tensor]
};
inline constexpr std::string_view kSettingKindNames[] = {"number",   "count",  "flag",     "choice",
                                                         "patterns", "groups", "overrides"};
static_assert(std::size(kSettingKindNames) == static_cast<std::size_t>(SettingKind::overrides) + 1);
constexpr std::span<const std::string_view> names_of(SettingKind) noexcept {
  return kSettingKindNames;
}

/// One setting of a method: its entry in the list beside the options, and its default.
struct SettingInfo {
  Setting setting;
  SettingKind kind = SettingKind::number;
  std::string default_text;  ///< as it is written in a text
  std::span<const std::string_view> choices = {};
};

/// One method or optimizer.
struct MethodInfo {
  std::string_view name;
  std::string_view formerly;   ///< an older name that still works; may be empty
  std::string_view published;  ///< its name in recorded cases, if different
  std::string_view summary;    ///< what it does, in a few words
  bool needs_parameters = false;
  bool sees_norms_alone = false;  ///< with its defaults: see GradientTransform::sees_norms_alone
  bool element_wise = false;      ///< it changes single elements, and so the direction
  bool needs_all_tensors = false;
  bool has_units = false;             ///< the last two settings are "granularity" and "groups"
  std::vector<SettingInfo> settings;  ///< in the order of the list
};

/// All methods that can be a link of a chain, in the order of the documents.
GRADSTAB_API const std::vector<MethodInfo>& methods();

/// All optimizers, in the order of OptimizerOptions: "sgd", "adam", "adamw", ...
GRADSTAB_API const std::vector<MethodInfo>& optimizers();

/// The method or optimizer with that name or older name. Errors: there is none; the message has the nearest
/// name.
GRADSTAB_API Result<const MethodInfo*> find_method(std::string_view name);
GRADSTAB_API Result<const MethodInfo*> find_optimizer(std::string_view name);

/// A value for one setting.
struct SettingText {
  std::string name;
  std::string text;
};

/// One link of a chain, or an optimizer, as a text describes it: settings that are not named have their
/// defaults.
struct MethodText {
  std::string method;
  std::vector<SettingText> settings;
};

/// Parses the text of a chain. Links are joined by '+', settings are in parentheses, blanks are ignored:
///
///   clip_by_global_norm(max_norm=0.5) + stabilize(gamma1=0.7, granularity=row)
///
/// In a list a backslash makes the next character literal. Older names become current ones. Errors: an
/// unknown method or setting, with the nearest name and, for a setting, its range; a setting given twice; a
/// text of another form.
GRADSTAB_API Result<std::vector<MethodText>> parse_transform(std::string_view text);

/// The text that parse_transform reads as these links.
GRADSTAB_API std::string to_text(std::span<const MethodText> links);

/// The same links with every setting in today's name, in the order of the lists, and only those whose value
/// is not the default: two chains with the same text compute the same. Errors: those of parse_transform.
GRADSTAB_API Result<std::vector<MethodText>> without_defaults(std::span<const MethodText> links);

/// A single link is returned as it is, without a chain around it. Errors: those of parse_transform, a value
/// that is not of the setting's kind, one outside its range.
GRADSTAB_API Result<GradientTransform> make_chain(std::span<const MethodText> links);

/// parse_transform and make_chain.
GRADSTAB_API Result<GradientTransform> transform_from_text(std::string_view text);

/// The options of an optimizer. Errors as for make_chain.
GRADSTAB_API Result<OptimizerOptions> make_optimizer_options(const MethodText& optimizer);

/// The text of a value.
GRADSTAB_API std::string setting_text(double value);
GRADSTAB_API std::string setting_text(const std::vector<std::string>& patterns);
GRADSTAB_API std::string setting_text(const std::vector<UnitGroup>& groups);
GRADSTAB_API std::string setting_text(const std::vector<AdamMiniOptions::Override>& overrides);

}  // namespace gradstab
