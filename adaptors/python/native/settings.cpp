#include "settings.hpp"

#include <string_view>
#include <utility>
#include <vector>

#include "errors.hpp"
#include "gradstab/methods.hpp"
#include "gradstab/transforms.hpp"
#include "own_method.hpp"

namespace gradstab::python {
namespace {

std::vector<std::string> strings(const c10::List<std::string>& list) {
  std::vector<std::string> result;
  for (std::size_t i = 0; i < list.size(); ++i) result.push_back(list.get(i));
  return result;
}

/// What Python has as several entries of one setting, "group:NAME" and "override:PATTERN", is one list.
constexpr std::string_view kGroup = "group:";
constexpr std::string_view kOverride = "override:";
/// And "text:NAME" is a text of the library's, from parse_transform.
constexpr std::string_view kText = "text:";

bool begins_with(const std::string& text, std::string_view prefix) {
  return text.compare(0, prefix.size(), prefix) == 0;
}

/// The kind of a setting, for the form of its words; number where there is no such setting, which the library
/// then says.
SettingKind kind_of(const MethodInfo& info, const std::string& name) {
  for (const SettingInfo& known : info.settings) {
    if (known.setting.name == name || known.setting.formerly == name) return known.kind;
  }
  return SettingKind::number;
}

/// A method or optimizer as texts.
MethodText text_of(const MethodInfo& info, const Numbers& numbers, const Words& words) {
  MethodText text{std::string(info.name), {}};
  for (const auto& entry : numbers) text.settings.push_back({entry.key(), setting_text(entry.value())});
  std::vector<UnitGroup> groups;
  std::vector<AdamMiniOptions::Override> overrides;
  for (const auto& entry : words) {
    const std::string& name = entry.key();
    const std::vector<std::string> list = strings(entry.value());
    if (begins_with(name, kText)) {
      text.settings.push_back({name.substr(kText.size()), list.front()});
    } else if (begins_with(name, kGroup)) {
      groups.push_back({name.substr(kGroup.size()), list});
    } else if (begins_with(name, kOverride)) {
      AdamMiniOptions::Override& given = overrides.emplace_back();
      given.pattern = name.substr(kOverride.size());
      const std::string word = list.empty() ? std::string() : list.front();
      if (!choice_named(word, given.unit))
        raise({StatusCode::invalid_argument, name + " of " + text.method +
                                                 " must be one of 'element', 'head', 'row', 'tensor', got '" +
                                                 word + "'"});
    } else if (kind_of(info, name) == SettingKind::patterns) {
      text.settings.push_back({name, setting_text(list)});
    } else {
      text.settings.push_back({name, list.empty() ? std::string() : list.front()});
    }
  }
  if (!groups.empty()) text.settings.push_back({"groups", setting_text(groups)});
  if (!overrides.empty()) text.settings.push_back({"overrides", setting_text(overrides)});
  return text;
}

template <Choice T>
T choose(const std::string& name, const std::string& word) {
  T choice{};
  if (choice_named(word, choice)) return choice;
  std::string message = name + " of this package must be one of";
  for (const std::string_view known : names_of(choice))
    message += (message.back() == 'f' ? " '" : ", '") + std::string(known) + "'";
  raise({StatusCode::invalid_argument, message + ", got '" + word + "'"});
}

}  // namespace

Units to_units(const Words& words) {
  Units units;
  for (const auto& entry : words) {
    const std::string& name = entry.key();
    if (begins_with(name, kGroup)) {
      units.groups.push_back({name.substr(kGroup.size()), strings(entry.value())});
    } else {
      units.granularity = choose<Granularity>(name, strings(entry.value()).front());
    }
  }
  return units;
}

GradientTransform make_transform(const Description& description) {
  std::vector<GradientTransform> links;
  for (std::size_t i = 0; i < description.methods.size(); ++i) {
    const std::string name = description.methods.get(i);
    if (begins_with(name, kOwnMethod)) {
      links.push_back(OwnMethod::make(std::stoll(name.substr(kOwnMethod.size()))));
      continue;
    }
    const MethodInfo& info = *value(find_method(name));
    const MethodText text = text_of(info, description.numbers.get(i), description.words.get(i));
    links.push_back(value(make_chain({&text, 1})));
  }
  if (links.size() == 1) return std::move(links.front());
  return chain_of(std::move(links));
}

OptimizerOptions make_optimizer_options(const std::string& kind, const Numbers& numbers, const Words& words) {
  const MethodInfo& info = *value(find_optimizer(kind));
  return value(gradstab::make_optimizer_options(text_of(info, numbers, words)));
}

std::vector<LinkTexts> parse_transform_text(const std::string& text) {
  std::vector<LinkTexts> links;
  for (const MethodText& link : value(parse_transform(text))) {
    auto& [method, names, texts] = links.emplace_back();
    method = link.method;
    for (const SettingText& setting : link.settings) {
      names.push_back(std::string(kText) + setting.name);
      texts.push_back(setting.text);
    }
  }
  return links;
}

std::vector<SettingTexts> describe_settings(bool of_optimizers) {
  std::vector<SettingTexts> rows;
  for (const auto* list : {&methods(), &optimizers()}) {
    if (list == &optimizers() && !of_optimizers) continue;
    for (const MethodInfo& info : *list) {
      for (const SettingInfo& setting : info.settings) {
        rows.emplace_back(info.name, setting.setting.name, choice_name(setting.kind), setting.default_text,
                          setting.setting.range.text);
      }
    }
  }
  return rows;
}

RunOptions make_run_options(const std::string& nonfinite, const std::string& backend) {
  RunOptions options;
  options.nonfinite = choose<NonFinitePolicy>("nonfinite", nonfinite);
  options.backend = backend;
  return options;
}

LowPrecision low_precision_of(const std::string& name) {
  return choose<LowPrecision>("low_precision", name);
}

}  // namespace gradstab::python
