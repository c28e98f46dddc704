// The list of methods, and transforms made from texts.
#include "gradstab/methods.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <iterator>
#include <map>
#include <regex>
#include <set>

#include "gradstab/transforms.hpp"
#include "support/gradients.hpp"

namespace gradstab {
namespace {

using ::testing::HasSubstr;
using testing::parameter_set;

std::string refusal(std::string_view text) {
  const auto made = transform_from_text(text);
  EXPECT_FALSE(made.ok()) << text;
  EXPECT_EQ(made.status().code(), StatusCode::invalid_argument) << text;
  return made.status().message();
}

/// A state after some steps, which holds every setting that matters.
std::vector<std::byte> state_of(GradientTransform transform) {
  const ParameterSet parameters = parameter_set({{"a.weight", {3, 2}}, {"b", {2}}});
  EXPECT_TRUE(transform.init(parameters).ok());
  testing::Gradients gradients(parameters, DType::float64);
  testing::Gradients values(parameters, DType::float64);
  values.set_all({{1, 2, 3, 4, 5, 6}, {7, 8}});
  for (int step = 1; step <= 3; ++step) {
    gradients.set_all({{1.0 * step, 2, 3, 4, 5, 6}, {0.5, 1}});
    EXPECT_TRUE(transform.update(gradients.refs(), values.refs()).ok());
  }
  return transform.save().value();
}

TEST(MethodsTest, EveryFactoryIsInTheList) {
  std::set<std::string> declared;
  std::ifstream file(GRADSTAB_TRANSFORMS_HEADER);
  const std::string header((std::istreambuf_iterator<char>(file)), {});
  const std::regex factory("GRADSTAB_API GradientTransform (\\w+)\\(");
  for (std::sregex_iterator at(header.begin(), header.end(), factory), end; at != end; ++at)
    declared.insert((*at)[1]);
  EXPECT_EQ(declared.erase("chain_of"), 1u);
  std::set<std::string> names;
  for (const MethodInfo& info : methods()) names.emplace(info.name);
  EXPECT_EQ(names, declared);
  EXPECT_GE(names.size(), 12u);
  for (const MethodInfo& info : methods()) {
    const auto made = transform_from_text(info.name);
    ASSERT_TRUE(made.ok()) << info.name;
    EXPECT_EQ(made->name(), info.name);
    EXPECT_FALSE(info.summary.empty()) << info.name;
    for (const SettingInfo& setting : info.settings)
      EXPECT_FALSE(setting.setting.help.empty()) << info.name << " " << setting.setting.name;
  }
}

/// The defaults as texts are the defaults of the options: made with all of them written out, a transform
/// saves the same as one that was made with none.
TEST(MethodsTest, DefaultsWrittenOutChangeNothing) {
  for (const MethodInfo& info : methods()) {
    MethodText written{std::string(info.name), {}};
    for (const SettingInfo& setting : info.settings)
      written.settings.push_back({std::string(setting.setting.name), setting.default_text});
    const std::string text = to_text(std::span(&written, 1));
    auto made = transform_from_text(text);
    ASSERT_TRUE(made.ok()) << made.status().message();
    EXPECT_EQ(state_of(std::move(*made)), state_of(transform_from_text(info.name).value())) << text;
  }
  // A control: another value is another state.
  EXPECT_NE(state_of(transform_from_text("zclip(z_threshold=3)").value()), state_of(zclip()));
}

TEST(MethodsTest, SettingsReachTheOptionsByTheirNames) {
  const auto expect_same = [](std::string_view text, GradientTransform made) {
    auto from_text = transform_from_text(text);
    ASSERT_TRUE(from_text.ok()) << from_text.status().message();
    EXPECT_EQ(from_text->name(), made.name());
    EXPECT_EQ(state_of(std::move(*from_text)), state_of(std::move(made))) << text;
  };
  expect_same("zclip(z_threshold=3, mode=percentile, skip_update_on_spike=true, max_norm=inf)",
              zclip({.z_threshold = 3.0,
                     .max_norm = kUnbounded,
                     .mode = ZClipMode::percentile,
                     .skip_update_on_spike = true}));
  expect_same(" stabilize ( gamma1 = 0.5 , bias_correction=false,granularity=row ) ",
              stabilize({.gamma1 = 0.5, .bias_correction = false}, Units::per_row()));
  expect_same("stabilize(granularity=group, groups=[layers=a.*,x\\,y; rest=b])",
              stabilize({}, Units::by_name({{"layers", {"a.*", "x,y"}}, {"rest", {"b"}}})));
  expect_same("adaptive_clip(exclude=[])", adaptive_clip({.exclude = {}}));
  expect_same("adaptive_clip(exclude=[a.*, \\ b\\]])", adaptive_clip({.exclude = {"a.*", " b]"}}));
  expect_same("adagc(warmup_steps=1e2, compat=released)", adagc(AdaGcOptions::released()));
  expect_same("record_norms+zclip(z_threshold=3)+stabilize",
              chain(record_norms(), zclip({.z_threshold = 3.0}), stabilize()));
  expect_same("scale_by(factor=-0.5)", scale_by(-0.5));
}

TEST(MethodsTest, OldWordsAreUnderstoodAndBecomeThoseOfToday) {
  const auto links = parse_transform("clip(norm_type=inf)+agc()+stabilize(kappa=3)+scale(scale=2)").value();
  EXPECT_EQ(to_text(links),
            "clip_by_global_norm(p=inf)+adaptive_clip+stabilize(robust_kappa=3)+scale_by(factor=2)");
  EXPECT_EQ(find_method("agc").value()->name, "adaptive_clip");
}

TEST(MethodsTest, OneChainHasOneTextWithoutItsDefaults) {
  const auto canonical = [](std::string_view text) {
    return to_text(without_defaults(parse_transform(text).value()).value());
  };
  EXPECT_EQ(
      canonical("clip(max_norm=1.0) + stabilize(kappa=3.0, gamma1=0.50, gamma2=0.999, bias_correction=1)"),
      "clip_by_global_norm+stabilize(gamma1=0.5, robust_kappa=3)");
  EXPECT_EQ(canonical("stabilize(groups=[a=b.*,c;d=e], granularity=group)"),
            "stabilize(granularity=group, groups=[a=b.*,c; d=e])");
  EXPECT_EQ(canonical(canonical("adaptive_clip(exclude=[])")), "adaptive_clip(exclude=[])");
}

TEST(MethodsTest, WhatIsUnknownIsRefusedWithTheNearestNameAndItsRange) {
  EXPECT_EQ(refusal("zclipp"), "'zclipp' is no method of this library; did you mean zclip?");
  EXPECT_EQ(refusal("stabilise+zclip"), "'stabilise' is no method of this library; did you mean stabilize?");
  EXPECT_EQ(refusal("global_norm"),
            "'global_norm' is no method of this library; did you mean clip_by_global_norm?");
  EXPECT_THAT(refusal("q"), HasSubstr("known are stabilize, clip_by_value, "));
  EXPECT_EQ(refusal("zclip(z_tresh=3)"),
            "'z_tresh' is no setting of zclip; did you mean z_threshold, which must be finite and above 0?");
  EXPECT_EQ(refusal("normalize(granularty=row)"),
            "'granularty' is no setting of normalize; did you mean granularity?");
  EXPECT_EQ(refusal("clip_by_value(q=1)"), "'q' is no setting of clip_by_value, which has max_abs");
}

TEST(MethodsTest, AWrongValueIsRefusedWithWhatWasExpected) {
  EXPECT_EQ(refusal("stabilize(gamma1=fast)"), "gamma1 of stabilize must be a number, got 'fast'");
  EXPECT_EQ(refusal("zclip(warmup_steps=2.5)"), "warmup_steps of zclip must be an integer, got 2.5");
  EXPECT_EQ(refusal("zclip(mode=z)"), "mode of zclip must be one of 'zscore', 'percentile', got 'z'");
  EXPECT_EQ(refusal("stabilize(bias_correction=2)"),
            "bias_correction of stabilize must be true or false, got 2");
  EXPECT_EQ(refusal("stabilize(gamma1=1)"), "gamma1 must be in [0, 1), got 1");
  EXPECT_EQ(refusal("stabilize(granularity=group)"),
            "granularity 'group' needs at least one group, got none");
  EXPECT_THAT(refusal("stabilize(granularity=group, groups=[a])"), HasSubstr("groups as in [name=pattern"));
}

TEST(MethodsTest, WhatIsNoTextOfTransformsIsRefusedWithItsPlace) {
  EXPECT_EQ(refusal(""), "transform '' must have the name of a method where it has its end");
  EXPECT_EQ(refusal("zclip+"), "transform 'zclip+' must have the name of a method where it has its end");
  EXPECT_EQ(refusal("zclip(alpha=0.9"),
            "transform 'zclip(alpha=0.9' must have ',' or ')' where it has its end");
  EXPECT_EQ(refusal("zclip stabilize"),
            "transform 'zclip stabilize' must have '+' or '(' where it has 'stabilize'");
  EXPECT_EQ(refusal("zclip(alpha)"), "transform 'zclip(alpha)' must have '=' behind alpha where it has ')'");
  EXPECT_EQ(refusal("zclip(alpha=)"),
            "transform 'zclip(alpha=)' must have a value of alpha where it has ')'");
  EXPECT_EQ(refusal("zclip(=1)"), "transform 'zclip(=1)' must have the name of a setting where it has '=1)'");
  EXPECT_EQ(refusal("stabilize(kappa=2, robust_kappa=3)"), "robust_kappa of stabilize is given twice");
}

/// A value outside of its range is refused, one at its end is taken or not as the range says.
TEST(MethodsTest, RangesOfTheListAreThoseThatAreChecked) {
  int checked = 0;
  const auto accepts = [](const MethodInfo& info, const SettingInfo& setting, double value) {
    MethodText text{std::string(info.name), {{std::string(setting.setting.name), setting_text(value)}}};
    if (find_method(info.name).ok()) return make_chain(std::span(&text, 1)).ok();
    return make_optimizer_options(text).ok();
  };
  for (const auto* list : {&methods(), &optimizers()}) {
    for (const MethodInfo& info : *list) {
      for (const SettingInfo& setting : info.settings) {
        const Range& range = setting.setting.range;
        const bool count = setting.kind == SettingKind::count;
        if (setting.kind != SettingKind::number && !count) continue;
        EXPECT_FALSE(range.text.empty()) << info.name << " " << setting.setting.name;
        if (setting.setting.name == "reset_interval" && info.name.starts_with("adaptive")) continue;
        for (const double end : {range.low, range.high}) {
          const double step = count ? 1.0 : 1e-9;
          for (const double value : {end - step, end, end + step}) {
            if (count && !std::isfinite(value)) continue;
            EXPECT_EQ(accepts(info, setting, value), range.contains(value))
                << info.name << " " << setting.setting.name << " = " << value;
            ++checked;
          }
        }
        EXPECT_TRUE(range.contains(std::stod(setting.default_text))) << info.name << setting.setting.name;
      }
    }
  }
  EXPECT_GE(checked, 100);
}

TEST(MethodsTest, OptimizersAreMadeFromTexts) {
  EXPECT_EQ(make_optimizer_options({"adamw", {}}).value(), OptimizerOptions(AdamOptions::adamw()));
  AdamMiniOptions mini{.dim = 8, .n_heads = 2};
  mini.overrides = {{"*.embed", AdamMiniUnit::row}, {"a=b", AdamMiniUnit::tensor}};
  EXPECT_EQ(make_optimizer_options(
                {"adam_mini", {{"dim", "8"}, {"n_heads", "2"}, {"overrides", setting_text(mini.overrides)}}})
                .value(),
            OptimizerOptions(mini));
  EXPECT_EQ(setting_text(mini.overrides), "[*.embed=row, a\\=b=tensor]");
  EXPECT_EQ(make_optimizer_options({"adam", {{"bta1", "0.5"}}}).status().message(),
            "'bta1' is no setting of adam; did you mean beta1, which must be in [0, 1)?");
  EXPECT_EQ(make_optimizer_options({"adam", {{"beta1", "1"}}}).status().message(),
            "beta1 must be in [0, 1), got 1");
  EXPECT_EQ(make_optimizer_options({"adamx", {}}).status().message(),
            "'adamx' is no optimizer of this library; did you mean adam?");
}

TEST(MethodsTest, WhatAMethodNeedsIsAskedOfTheMethod) {
  std::map<std::string_view, MethodInfo> known;
  for (const MethodInfo& info : methods()) known[info.name] = info;
  EXPECT_TRUE(known["stabilize"].sees_norms_alone);
  EXPECT_FALSE(known["adaptive_clip"].sees_norms_alone);
  EXPECT_TRUE(known["adaptive_clip"].needs_parameters);
  EXPECT_FALSE(known["clip_by_value"].sees_norms_alone);
  EXPECT_TRUE(known["clip_by_value"].element_wise);
  EXPECT_TRUE(known["zclip"].needs_all_tensors);
  EXPECT_FALSE(known["zclip"].has_units);
  EXPECT_TRUE(known["normalize"].has_units);
  EXPECT_TRUE(transform_from_text("zclip+stabilize").value().sees_norms_alone());
  EXPECT_FALSE(transform_from_text("stabilize+clip_by_global_norm(p=3)").value().sees_norms_alone());
  EXPECT_FALSE(transform_from_text("stabilize(granularity=row)").value().sees_norms_alone());
}

}  // namespace
}  // namespace gradstab
