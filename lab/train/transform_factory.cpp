#include "lab/train/transform_factory.hpp"

#include <algorithm>
#include <array>
#include <optional>

#include "gradstab/methods.hpp"
#include "gradstab/transforms.hpp"

namespace gradstab::lab {
namespace {

constexpr std::array kShorthands = {
    Shorthand{"gamma1", "", "stabilize", "gamma1"},
    Shorthand{"gamma2", "", "stabilize", "gamma2"},
    Shorthand{"bias_correction", "form", "stabilize", "bias_correction"},
    Shorthand{"robust_kappa", "kappa", "stabilize", "robust_kappa"},
    Shorthand{"granularity", "", "stabilize", "granularity"},
    Shorthand{"max_norm", "", "clip_by_global_norm", "max_norm"},
    Shorthand{"max_abs", "", "clip_by_value", "max_abs"},
    Shorthand{"factor", "scale", "scale_by", "factor"},
};

/// The links of a text that check_transform accepts.
std::vector<MethodText> links_of(const std::string& transform) {
  return transform == "none" ? std::vector<MethodText>() : parse_transform(transform).value();
}

void set(MethodText& link, std::string_view setting, const std::string& value) {
  std::erase_if(link.settings, [&](const SettingText& given) { return given.name == setting; });
  link.settings.push_back({std::string(setting), value});
}

/// What the text says of adagc, with both settings that its presets differ in.
std::string with_preset(const std::string& transform, const AdaGcOptions& preset) {
  if (transform == "none") return transform;
  auto links = parse_transform(transform);
  if (!links) return transform;
  for (MethodText& link : *links) {
    if (link.method != "adagc") continue;
    for (const auto& [name, value] :
         {std::pair("relative", preset.relative), std::pair("beta", preset.beta)}) {
      if (std::ranges::count(link.settings, name, &SettingText::name) == 0)
        link.settings.push_back({name, setting_text(value)});
    }
  }
  return to_text(*links);
}

}  // namespace

std::string known_transforms() {
  std::string text;
  for (const MethodInfo& method : methods()) text += (text.empty() ? "" : ", ") + std::string(method.name);
  return text;
}

Status check_transform(const std::string& transform) {
  return transform == "none" ? Status() : parse_transform(transform).status();
}

std::span<const Shorthand> shorthands() {
  return kShorthands;
}

const Shorthand* find_shorthand(std::string_view name) {
  const auto found = std::ranges::find_if(kShorthands, [&](const Shorthand& shorthand) {
    return !name.empty() && (shorthand.name == name || shorthand.formerly == name);
  });
  return found == kShorthands.end() ? nullptr : &*found;
}

std::pair<std::string, std::string> in_words_of_today(const std::string& name, const std::string& value) {
  const Shorthand* const shorthand = find_shorthand(name);
  if (shorthand == nullptr) return {name, value};
  const bool is_form = name == "form";  // of the bias correction
  return {std::string(shorthand->name), is_form && value == "paper"      ? "false"
                                        : is_form && value == "released" ? "true"
                                                                         : value};
}

bool is_default(const std::string& name, const std::string& value) {
  const Shorthand* const shorthand = find_shorthand(name);
  if (shorthand == nullptr) return false;
  const MethodText alone{std::string(shorthand->method), {{std::string(shorthand->setting), value}}};
  const auto stated = without_defaults(std::span(&alone, 1));
  return stated && stated->front().settings.empty();
}

Result<std::string> with_shorthands(const std::string& transform,
                                    const std::vector<std::pair<std::string, std::string>>& given) {
  GRADSTAB_RETURN_IF_ERROR(check_transform(transform));
  std::vector<MethodText> links = links_of(transform);
  for (const auto& [word, said] : given) {
    const auto [name, value] = in_words_of_today(word, said);
    const Shorthand* const shorthand = find_shorthand(name);
    if (shorthand == nullptr)
      return Status(StatusCode::invalid_argument, "'" + name + "' is not a setting of any method");
    // A value that no method takes is wrong even where the method is not in the chain.
    MethodText alone{std::string(shorthand->method), {}};
    set(alone, shorthand->setting, value);
    if (auto made = make_chain(std::span(&alone, 1)); !made) return made.status();
    for (MethodText& link : links) {
      if (link.method == shorthand->method) set(link, shorthand->setting, value);
    }
  }
  if (links.empty()) return std::string("none");
  GRADSTAB_RETURN_IF_ERROR(make_chain(links).status());
  const auto stated = without_defaults(links);
  return stated ? to_text(*stated) : Result<std::string>(stated.status());
}

std::string as_older_versions_meant(const std::string& transform) {
  if (transform.find("adagc(") != std::string::npos) return transform;
  return with_preset(transform, AdaGcOptions::adagc_v1());
}

std::string for_keeping(const std::string& transform) {
  return with_preset(transform, AdaGcOptions());
}

GradientTransform make_transform(const TrainOptions& options) {
  std::vector<GradientTransform> links;
  links.push_back(record_norms());
  for (const MethodText& link : links_of(options.transform))
    links.push_back(make_chain(std::span(&link, 1)).value());
  if (options.optimizer == "stable_spam") {  // the optimizer of that name is AdamW behind these two
    links.push_back(adaptive_value_clip(AdaptiveValueClipOptions::stable_spam()));
    links.push_back(adaptive_norm(AdaptiveNormOptions::stable_spam()));
  }
  return chain_of(std::move(links));
}

NonFinitePolicy nonfinite_policy(const TrainOptions& options) {
  if (NonFinitePolicy chosen{}; choice_named(options.nonfinite, chosen)) return chosen;
  // A baseline should behave as its users know it; the method should show what it does by default.
  const bool stabilizes =
      std::ranges::count(links_of(options.transform), "stabilize", &MethodText::method) > 0;
  return stabilizes ? NonFinitePolicy::skip_tensor : NonFinitePolicy::pass_through;
}

}  // namespace gradstab::lab
