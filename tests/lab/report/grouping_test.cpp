#include "lab/report/grouping.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "tests/lab/run/test_runs.hpp"

namespace gradstab::lab {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::make_run;

TEST(WithoutSeedTest, RemovesTheSeedInItsUsualSpellings) {
  for (const char* name : {"adamw-seed3", "adamw_seed_12", "adamw (seed 1)", "adamw/seed=3", "adamw, Seed 0",
                           "seed4-adamw", "adamw[seed=1]"}) {
    EXPECT_EQ(without_seed(name), "adamw") << name;
  }
  EXPECT_EQ(without_seed("a-seed1-long"), "a-long");
}

TEST(WithoutSeedTest, LeavesOtherNamesAlone) {
  for (const char* name : {"adamw", "", "seed", "reseed2", "seedling", "seed7", "lr0.1"}) {
    EXPECT_EQ(without_seed(name), name);
  }
}

TEST(ArrangeTest, SameSettingsButForSeedAndPathAreOneGroup) {
  const std::vector<RunRecord> runs = {make_run("a", "none", 0, 5), make_run("a", "stabilize", 0, 4),
                                       make_run("a", "none", 1, 5)};
  const Arrangement arrangement = arrange(runs);
  ASSERT_EQ(arrangement.groups.size(), 2u);
  EXPECT_THAT(arrangement.groups[0].runs, ElementsAre(0, 2));
  EXPECT_THAT(arrangement.groups[1].runs, ElementsAre(1));
  EXPECT_THAT(arrangement.group_of_run, ElementsAre(0, 1, 0));
  EXPECT_THAT(arrangement.groups[0].cautions, IsEmpty());
  EXPECT_TRUE(arrangement.has_seeds());
}

TEST(ArrangeTest, SeedInTheNameGroupsAndDifferingSettingsAreACaution) {
  std::vector<RunRecord> runs = {make_run("a-seed0", "none", 0, 5), make_run("a-seed1", "none", 1, 5)};
  runs[1].settings["lr"] = 0.5;
  const Arrangement arrangement = arrange(runs);
  ASSERT_EQ(arrangement.groups.size(), 1u);
  EXPECT_EQ(arrangement.groups[0].label, "a");
  EXPECT_THAT(arrangement.groups[0].cautions, ElementsAre(HasSubstr("differ in lr")));
}

TEST(ArrangeTest, SameSeedTwiceIsACaution) {
  const std::vector<RunRecord> runs = {make_run("a", "none", 0, 5), make_run("a", "none", 0, 5)};
  EXPECT_THAT(arrange(runs).groups[0].cautions, ElementsAre(HasSubstr("seed 0 more than once")));
}

TEST(ArrangeTest, EqualNamesBecomeDifferentLabels) {
  std::vector<RunRecord> runs = {make_run("a", "none", 0, 5), make_run("a", "none", 1, 5),
                                 make_run("a", "clip", 0, 5)};
  EXPECT_THAT(arrange(runs).run_labels, ElementsAre("a, transform none, seed 0", "a, transform none, seed 1",
                                                    "a, transform clip, seed 0"));
  EXPECT_EQ(arrange(runs).groups[0].label, "a, transform none");
  runs = {make_run("a", "none", 0, 5), make_run("a", "none", 0, 5)};
  EXPECT_THAT(arrange(runs).run_labels, ElementsAre("a", "a #2"));
}

TEST(ArrangeTest, OtherTasksAreOtherGroups) {
  std::vector<RunRecord> runs = {make_run("a-seed0", "none", 0, 5), make_run("a-seed1", "none", 1, 5)};
  runs[1].task = "vision";
  EXPECT_EQ(arrange(runs).groups.size(), 2u);
}

TEST(SpreadTest, MeanAndSampleDeviation) {
  const Spread spread = spread_of(std::vector<double>{2, 4, 4, 4, 5, 5, 7, 9});
  EXPECT_DOUBLE_EQ(spread.mean, 5);
  EXPECT_DOUBLE_EQ(spread.deviation, std::sqrt(32.0 / 7));
  EXPECT_EQ(spread.finite, 8u);
}

TEST(SpreadTest, NonFiniteValuesAreCountedOut) {
  const Spread spread = spread_of(std::vector<double>{1, kNoValue, 3, INFINITY});
  EXPECT_DOUBLE_EQ(spread.mean, 2);
  EXPECT_DOUBLE_EQ(spread.deviation, std::sqrt(2.0));
  EXPECT_EQ(spread.finite, 2u);
  EXPECT_EQ(spread.total, 4u);
  EXPECT_TRUE(std::isnan(spread_of(std::vector<double>{1}).deviation));
  EXPECT_TRUE(std::isnan(spread_of({}).mean));
}

}  // namespace
}  // namespace gradstab::lab
