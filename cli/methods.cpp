// gradstab methods
#include "gradstab/methods.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cmath>
#include <memory>
#include <nlohmann/json.hpp>

#include "cli/commands.hpp"
#include "cli/terminal.hpp"

namespace gradstab::cli {
namespace {

using Json = nlohmann::ordered_json;

struct MethodsArguments {
  std::string name;
  bool json = false;
  std::string table;
};

/// What a value may be.
std::string range_of(const SettingInfo& info) {
  switch (info.kind) {
    case SettingKind::flag:
      return "true or false";
    case SettingKind::choice:
      return fmt::format("{}", fmt::join(info.choices, ", "));
    case SettingKind::patterns:
      return "[pattern, pattern]";
    case SettingKind::groups:
      return "[name=pattern,pattern; name=pattern]";
    case SettingKind::overrides:
      return fmt::format("[pattern=unit, pattern=unit], units: {}",
                         fmt::join(names_of(AdamMiniUnit{}), ", "));
    case SettingKind::number:
    case SettingKind::count:
      break;
  }
  return std::string(info.setting.range.text);
}

std::string list_of(const std::vector<MethodInfo>& list) {
  std::string text;
  for (const MethodInfo& info : list) text += fmt::format("  {:<21}{}\n", info.name, info.summary);
  return text;
}

std::string settings_of(const MethodInfo& info) {
  std::string text = fmt::format("{}: {}\n", info.name, info.summary);
  if (!info.formerly.empty()) text += fmt::format("formerly {}\n", info.formerly);
  for (const SettingInfo& setting : info.settings) {
    text += fmt::format("  {}={}  {}\n", setting.setting.name, setting.default_text, setting.setting.help);
    text += fmt::format("      {}{}\n", range_of(setting),
                        setting.setting.formerly.empty()
                            ? std::string()
                            : fmt::format("; formerly {}", setting.setting.formerly));
  }
  return text;
}

Json bound(double value) {
  return std::isfinite(value) ? Json(value) : Json(value > 0 ? "inf" : "-inf");
}

Json to_json(const std::vector<MethodInfo>& list) {
  Json all = Json::object();
  for (const MethodInfo& info : list) {
    Json settings = Json::object();
    for (const SettingInfo& setting : info.settings) {
      Json entry = {{"kind", choice_name(setting.kind)},
                    {"default", setting.default_text},
                    {"help", setting.setting.help},
                    {"formerly", setting.setting.formerly},
                    {"published", setting.setting.published}};
      if (!setting.choices.empty()) entry["choices"] = setting.choices;
      if (const Range& range = setting.setting.range; !range.text.empty()) {
        entry["range"] = {{"text", range.text},           {"low", bound(range.low)},
                          {"high", bound(range.high)},    {"with_low", range.with_low},
                          {"with_high", range.with_high}, {"or_zero", range.or_zero}};
      }
      settings[std::string(setting.setting.name)] = std::move(entry);
    }
    all[std::string(info.name)] = {{"summary", info.summary},
                                   {"formerly", info.formerly},
                                   {"published", info.published},
                                   {"settings", std::move(settings)}};
  }
  return all;
}

/// A table for the documents, in Markdown.
std::string table_of(const std::vector<MethodInfo>& list) {
  std::string text =
      "| | setting | default | may be | in the authors' code | what it means |\n|---|---|---|---|---|---|\n";
  for (const MethodInfo& info : list) {
    std::string name = fmt::format("`{}`", info.name);
    if (!info.formerly.empty()) name += fmt::format(", formerly `{}`", info.formerly);
    for (const SettingInfo& setting : info.settings) {
      const bool is_units = info.has_units && &setting >= &info.settings[info.settings.size() - 2];
      if (is_units) continue;
      const auto quoted = [](std::string_view word) {
        return word.empty() ? std::string() : fmt::format("`{}`", word);
      };
      std::string setting_name = quoted(setting.setting.name);
      if (!setting.setting.formerly.empty())
        setting_name += fmt::format(", formerly `{}`", setting.setting.formerly);
      text += fmt::format("| {} | {} | `{}` | {} | {} | {} |\n", name, setting_name, setting.default_text,
                          range_of(setting), quoted(setting.setting.published), setting.setting.help);
      name.clear();
    }
    if (info.has_units)
      text += fmt::format("| {} | `granularity`, `groups` | `tensor` | see Units | | {} |\n", name,
                          info.settings[info.settings.size() - 2].setting.help);
  }
  return text;
}

int run_methods(const MethodsArguments& arguments) {
  if (arguments.table == "methods" || arguments.table == "optimizers") {
    print_raw(table_of(arguments.table == "methods" ? methods() : optimizers()));
    return kExitOk;
  }
  if (arguments.json) {
    const Json all = {{"methods", to_json(methods())}, {"optimizers", to_json(optimizers())}};
    print_raw(all.dump(1) + "\n");
    return kExitOk;
  }
  if (arguments.name.empty()) {
    print_raw(fmt::format("Methods, for --transform:\n{}\nOptimizers:\n{}", list_of(methods()),
                          list_of(optimizers())));
    return kExitOk;
  }
  auto found = find_method(arguments.name);
  if (!found && find_optimizer(arguments.name)) found = find_optimizer(arguments.name);
  if (!found) return exit_code_for(found.status());
  print_raw(settings_of(**found));
  return kExitOk;
}

}  // namespace

void add_methods(CLI::App& app, Action& action) {
  CLI::App* verb = app.add_subcommand("methods", "list methods and optimizers with their settings");
  auto arguments = std::make_shared<MethodsArguments>();
  verb->add_option("name", arguments->name, "show this one with its settings [all, without settings]");
  verb->add_flag("--json", arguments->json, "show all of them with their settings");
  verb->add_option("--table", arguments->table,
                   "methods or optimizers: print the table that the documents show")
      ->check(CLI::IsMember({"methods", "optimizers"}));
  verb->footer("\nExample: gradstab methods zclip");
  verb->callback([&action, arguments] { action = [arguments] { return run_methods(*arguments); }; });
}

}  // namespace gradstab::cli
