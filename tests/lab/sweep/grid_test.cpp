// From --over to the runs of a sweep.
#include "lab/sweep/grid.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/lab/llm_options.hpp"

namespace gradstab::lab {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

Result<SweepAxis> axis_of(const std::string& text) {
  return parse_axis(llm_options(), text);
}

std::vector<SweepAxis> axes(const std::vector<std::string>& texts) {
  std::vector<SweepAxis> list;
  for (const std::string& text : texts) list.push_back(axis_of(text).value());
  return list;
}

std::string refused(const std::string& text) {
  const auto axis = axis_of(text);
  EXPECT_FALSE(axis) << text;
  return axis ? "" : axis.status().message();
}

std::string refused_grid(const std::vector<std::string>& texts, const TrainOptions& base = llm_options()) {
  const auto points = make_grid(base, axes(texts));
  EXPECT_FALSE(points) << texts.size();
  return points ? "" : points.status().message();
}

TEST(SweepAxisTest, ValuesAreKeptAsWritten) {
  EXPECT_THAT(axis_of("lr=1e-3,0.01").value().values, ElementsAre("1e-3", "0.01"));
  EXPECT_EQ(axis_of("min-lr-ratio=0").value().key, "min_lr_ratio");
  EXPECT_THAT(axis_of("seed=0..3").value().values, ElementsAre("0", "1", "2", "3"));
  EXPECT_THAT(axis_of("seed=7..7").value().values, ElementsAre("7"));
  EXPECT_THAT(axis_of("seed=1..3,9").value().values, ElementsAre("1..3", "9"))
      << "no range, and later no number";
  EXPECT_THAT(axis_of("inject_spikes=5:10;5:10,6:10").value().values, ElementsAre("5:10", "5:10,6:10"));
  EXPECT_THAT(axis_of("data=a=b.txt").value().values, ElementsAre("a=b.txt"));
}

TEST(SweepAxisTest, AValueInTwoSpellingsIsOneRun) {
  EXPECT_THAT(axis_of("lr=0.01,0.010,1e-2,0.02").value().values, ElementsAre("0.01", "0.02"));
  EXPECT_THAT(axis_of("seed=1,01,2").value().values, ElementsAre("1", "2"));
  EXPECT_THAT(axis_of("transform=none,None").value().values, ElementsAre("none", "None")) << "words";
  EXPECT_EQ(make_grid(llm_options(), axes({"lr=0.01,0.010", "seed=0..1"})).value().size(), 2u);
}

TEST(SweepAxisTest, RangesReachTheEndsOf64Bits) {
  EXPECT_THAT(axis_of("steps=9223372036854775806..9223372036854775807").value().values,
              ElementsAre("9223372036854775806", "9223372036854775807"));
  EXPECT_EQ(refused("steps=-9223372036854775808..9223372036854775807"),
            "steps: the range '-9223372036854775808..9223372036854775807' is empty or too long");
}

TEST(SweepAxisTest, WhatCannotBeIsNamed) {
  EXPECT_EQ(refused("lr"), "an axis must be KEY=VALUE,VALUE,..., got 'lr'");
  EXPECT_EQ(refused("=1"), "an axis must be KEY=VALUE,VALUE,..., got '=1'");
  EXPECT_EQ(refused("lr="), "lr: no values, so there is nothing to run");
  EXPECT_EQ(refused("lr=1,2,1"), "lr: '1' is given twice");
  EXPECT_EQ(refused("seeed=1"), "'seeed' is not a setting; did you mean seed?");
  EXPECT_EQ(refused("transfrom=none"), "'transfrom' is not a setting; did you mean transform?");
  EXPECT_EQ(refused("seed=4..1"), "seed: the range '4..1' is empty or too long");
  EXPECT_EQ(refused("seed=0..10000"), "seed: the range '0..10000' is empty or too long");
}

TEST(SweepGridTest, TheLastAxisRunsFastestAndEverySettingArrives) {
  TrainOptions base = llm_options();
  base.steps = 77;
  base.warmup = 7;
  const auto points =
      make_grid(base, axes({"transform=none,clip+stabilize", "lr=1e-3,0.01", "step_in_backward=false,true"}))
          .value();
  ASSERT_EQ(points.size(), 8u);
  EXPECT_EQ(points[0].name, "transform=none,lr=1e-3,step_in_backward=false");
  EXPECT_EQ(points[1].name, "transform=none,lr=1e-3,step_in_backward=true");
  EXPECT_EQ(points[2].name, "transform=none,lr=0.01,step_in_backward=false");
  EXPECT_EQ(points[7].name, "transform=clip+stabilize,lr=0.01,step_in_backward=true");
  EXPECT_EQ(points[7].options.transform, "clip_by_global_norm+stabilize");
  EXPECT_EQ(points[7].options.lr, 0.01);
  EXPECT_TRUE(points[7].options.step_in_backward);
  EXPECT_FALSE(points[6].options.step_in_backward);
  for (const SweepPoint& point : points) EXPECT_EQ(point.options.steps, 77);
}

TEST(SweepGridTest, AxesHaveSettingsOfMethodsAndTheirShorthands) {
  EXPECT_THAT(axis_of("transform=none,zclip(alpha=0.9, z_threshold=3)").value().values,
              ElementsAre("none", "zclip(alpha=0.9, z_threshold=3)"));
  EXPECT_EQ(refused("gama1=0.5"), "'gama1' is not a setting; did you mean gamma1?");
  TrainOptions base = llm_options();
  base.shorthand = {{"gamma2", "0.9"}};
  const auto points = make_grid(base, axes({"transform=none,clip+stabilize,adagc", "kappa=0,3.0"})).value();
  ASSERT_EQ(points.size(), 6u);
  EXPECT_EQ(points[0].options.transform, "none");
  EXPECT_EQ(points[2].options.transform, "clip_by_global_norm+stabilize(gamma2=0.9)");
  EXPECT_EQ(points[3].options.transform, "clip_by_global_norm+stabilize(gamma2=0.9, robust_kappa=3)");
  EXPECT_EQ(points[4].options.transform, "adagc") << "the library's own defaults";
  EXPECT_TRUE(points[3].options.shorthand.empty());
}

TEST(SweepGridTest, NamesAreNamesOfFolders) {
  EXPECT_EQ(make_grid(llm_options(), axes({"data=../a/b.txt"})).value().front().name, "data=.._a_b.txt");
  EXPECT_EQ(refused_grid({"data=a/b,a_b"}), "two runs would be named 'data=a_b'");
}

TEST(SweepGridTest, EveryRunIsCheckedBeforeTheFirstOne) {
  EXPECT_EQ(make_grid(llm_options(), {}).status().message(),
            "nothing to sweep over: give at least one --over KEY=VALUE,VALUE,...");
  TrainOptions with_events = llm_options();
  with_events.tensorboard = true;
  EXPECT_EQ(make_grid(with_events, {axis_of("seed=0..1").value()}).status().message(),
            "tensorboard must be false in a sweep, whose runs are shown by its report, got true");
  EXPECT_EQ(refused_grid({"lr=1", "seed=0", "lr=2"}), "lr is swept over twice");
  EXPECT_EQ(refused_grid({"seed=0,fast"}), "seed: expected a whole number of at least 0, got 'fast'");
  EXPECT_EQ(refused_grid({"seed=-1"}), "seed: expected a whole number of at least 0, got '-1'");
  EXPECT_EQ(refused_grid({"steps=1.5"}), "steps: expected a whole number, got '1.5'");
  EXPECT_EQ(refused_grid({"steps=1e3"}), "steps: expected a whole number, got '1e3'");
  EXPECT_EQ(refused_grid({"lr=0.01,"}), "lr: expected a number, got ''");
  EXPECT_EQ(refused_grid({"lr=0x1p3"}), "lr: expected a number, got '0x1p3'");
  EXPECT_EQ(refused_grid({"steps=99999999999999999999"}),
            "steps: expected a whole number from -9223372036854775808 to 9223372036854775807, got "
            "'99999999999999999999'");
  EXPECT_EQ(refused_grid({"lr=quick"}), "lr: expected a number, got 'quick'");
  EXPECT_EQ(refused_grid({"step_in_backward=1"}), "step_in_backward: expected true or false, got '1'");
  EXPECT_THAT(refused_grid({"transform=none,magic"}),
              HasSubstr("run 'transform=magic': 'magic' is no method of this library"));
  TrainOptions libtorch = llm_options();
  libtorch.optimizer_engine = "libtorch";
  EXPECT_THAT(refused_grid({"optimizer=adamw,lion"}, libtorch),
              HasSubstr("run 'optimizer=lion': optimizer_engine must be fused for this optimizer"));
  EXPECT_EQ(refused_grid({"seed=0..999", "lr=1,2,3,4,5,6,7,8,9,10,11"}), "more than 10000 runs");
}

}  // namespace
}  // namespace gradstab::lab
