// gradstab methods, and settings of methods on the command line: what they say is what the library says.
#include "gradstab/methods.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "cli/program.hpp"

namespace gradstab::testing_cli {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using Json = nlohmann::json;

/// The first setting of which the program says something else than the library; empty if there is none.
std::string difference(const Json& said, const std::vector<MethodInfo>& known) {
  if (said.size() != known.size()) return "another number of methods";
  for (const MethodInfo& info : known) {
    const Json& settings = said.at(std::string(info.name)).at("settings");
    if (settings.size() != info.settings.size()) return std::string(info.name);
    for (const SettingInfo& setting : info.settings) {
      const Json& entry = settings.at(std::string(setting.setting.name));
      const Json range = entry.value("range", Json::object()).value("text", "");
      const bool same = entry.at("default") == setting.default_text && range == setting.setting.range.text &&
                        entry.at("help") == setting.setting.help;
      if (!same) return std::string(info.name) + " " + std::string(setting.setting.name);
    }
  }
  return {};
}

TEST(MethodsVerbTest, DefaultsAndRangesAreThoseOfTheLibrary) {
  const Folder folder;
  const Outcome outcome = folder.run({"methods", "--json"});
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  Json said = Json::parse(outcome.out);
  EXPECT_EQ(difference(said.at("methods"), methods()), "");
  EXPECT_EQ(difference(said.at("optimizers"), optimizers()), "");
  // Controls: a default and a range that are others are noticed.
  said["methods"]["zclip"]["settings"]["z_threshold"]["default"] = "2.6";
  EXPECT_EQ(difference(said.at("methods"), methods()), "zclip z_threshold");
  said["optimizers"]["spam"]["settings"]["beta2"]["range"]["text"] = "in [0, 1]";
  EXPECT_EQ(difference(said.at("optimizers"), optimizers()), "spam beta2");
}

TEST(MethodsVerbTest, EveryNumberOfEveryMethodIsReachedAndChecked) {
  const Folder folder;
  int checked = 0;
  for (const MethodInfo& info : methods()) {
    for (const SettingInfo& setting : info.settings) {
      if (setting.setting.range.text.empty()) continue;
      const std::string outside = setting.kind == SettingKind::count ? "-1" : "nan";
      const std::string name(setting.setting.name);
      const std::string text = std::string(info.name) + "(" + name + "=" + outside + ")";
      const Outcome refused = folder.run(Folder::train("run", {"--transform", text}));
      EXPECT_EQ(refused.exit_code, 2) << text;
      EXPECT_THAT(refused.err, HasSubstr(name + " must be " + std::string(setting.setting.range.text) +
                                         ", got " + outside));
      ++checked;
    }
  }
  EXPECT_GE(checked, 30);
}

TEST(MethodsVerbTest, OneMethodIsShownWithItsSettings) {
  const Folder folder;
  const Outcome zclip = folder.run({"methods", "zclip"});
  EXPECT_THAT(zclip.out, AllOf(HasSubstr("z_threshold=2.5"), HasSubstr("finite and above 0"),
                               HasSubstr("mode=zscore"), HasSubstr("zscore, percentile")));
  EXPECT_THAT(folder.run({"methods", "clip"}).out, HasSubstr("clip_by_global_norm: "));
  EXPECT_THAT(folder.run({"methods", "spam"}).out, HasSubstr("threshold=5000"));
  const Outcome all = folder.run({"methods"});
  for (const MethodInfo& info : methods()) EXPECT_THAT(all.out, HasSubstr(std::string(info.name)));
  const Outcome unknown = folder.run({"methods", "zclipp"});
  EXPECT_EQ(unknown.exit_code, 2);
  EXPECT_THAT(unknown.err, HasSubstr("did you mean zclip?"));
}

}  // namespace
}  // namespace gradstab::testing_cli
