// Verdicts: by hand-made losses whose intervals were computed by hand.
#include "lab/reproduce/judge.hpp"

#include <gtest/gtest.h>

#include <limits>

#include "test_records.hpp"

namespace gradstab::lab {
namespace {

/// "stabilize" and "none" with these losses, seed by seed, at one horizon.
void add_pair(std::vector<ItemRun>& runs, const std::vector<double>& method, const std::vector<double>& none,
              const std::string& horizon = "short", const Settings& context = {}) {
  for (std::size_t i = 0; i < method.size(); ++i)
    runs.push_back(finished_run("stabilize", static_cast<int>(i), method[i], context, horizon));
  for (std::size_t i = 0; i < none.size(); ++i)
    runs.push_back(finished_run("none", static_cast<int>(i), none[i], context, horizon));
}

Claim lower_loss() {
  return {"lower", "a test", "nats per token", {compared(mean_score, "stabilize", "none", "against none")}};
}

ClaimResult judged(const std::vector<ItemRun>& runs, const Claim& claim = lower_loss()) {
  return judge({claim}, records_of(runs)).front();
}

Verdict verdict(const std::vector<double>& method, const std::vector<double>& none) {
  std::vector<ItemRun> runs;
  add_pair(runs, method, none);
  return judged(runs).verdict;
}

TEST(JudgeTest, TheIntervalIsThatOfStudentsT) {
  std::vector<ItemRun> runs;
  add_pair(runs, {2.0, 2.0, 2.0}, {2.1, 2.2, 2.3});  // differences -0.1, -0.2, -0.3
  const EffectResult effect = judged(runs).horizons.front().effects.front();
  ASSERT_EQ(effect.by_seed.size(), 3u);
  EXPECT_NEAR(effect.mean, -0.2, 1e-15);
  EXPECT_NEAR(effect.deviation, 0.1, 1e-15);
  // 0.2484 on either side: reaches above zero.
  EXPECT_NEAR(effect.interval.low, -0.2 - 4.30265 * 0.1 / std::sqrt(3.0), 1e-6);
  EXPECT_NEAR(effect.interval.high, -0.2 + 4.30265 * 0.1 / std::sqrt(3.0), 1e-6);
  EXPECT_EQ(effect.verdict, Verdict::undecided);
}

TEST(JudgeTest, AnEffectIsWhatItsIntervalExcludes) {
  // The largest spread that a mean of -0.2 over three seeds bears is 0.2 * sqrt(3) / 4.3027 = 0.0805.
  EXPECT_EQ(verdict({2.0, 2.0, 2.0}, {2.2 - 0.080, 2.2, 2.2 + 0.080}), Verdict::reproduced);
  EXPECT_EQ(verdict({2.0, 2.0, 2.0}, {2.2 - 0.081, 2.2, 2.2 + 0.081}), Verdict::undecided);
  EXPECT_EQ(verdict({2.2 - 0.080, 2.2, 2.2 + 0.080}, {2.0, 2.0, 2.0}), Verdict::not_reproduced);
  EXPECT_EQ(verdict({2.2 - 0.081, 2.2, 2.2 + 0.081}, {2.0, 2.0, 2.0}), Verdict::undecided);
  // One seed says nothing, however large the difference.
  EXPECT_EQ(verdict({1.0}, {3.0}), Verdict::undecided);
}

TEST(JudgeTest, SeedsArePaired) {
  // Levels differ far more from seed to seed than the method makes.
  EXPECT_EQ(verdict({1.00, 2.00, 3.00}, {1.10, 2.11, 3.09}), Verdict::reproduced);
  EXPECT_EQ(verdict({1.00, 2.00, 3.00}, {2.11, 3.09, 1.10}), Verdict::undecided);
}

TEST(JudgeTest, ASeedWithoutItsPartnerIsLeftOut) {
  std::vector<ItemRun> runs;
  add_pair(runs, {1.0, 2.0, 0.0}, {1.1, 2.1});
  EXPECT_EQ(judged(runs).horizons.front().effects.front().by_seed.size(), 2u);
  runs.front().state = "pending";
  EXPECT_EQ(judged(runs).horizons.front().effects.front().by_seed.size(), 1u);
}

TEST(JudgeTest, DivergenceCountsAsKnowingNothing) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const double guess = std::log(256.0);
  std::vector<ItemRun> runs;
  add_pair(runs, {2.0, 2.0}, {nan, 1e9});
  runs.push_back(finished_run("stabilize", 2, 2.0));
  runs.push_back(finished_run("none", 2, 0.0));
  runs.back().state = "failed";
  const EffectResult effect = judged(runs).horizons.front().effects.front();
  ASSERT_EQ(effect.by_seed.size(), 3u);
  for (const double value : effect.by_seed) EXPECT_DOUBLE_EQ(value, 2.0 - guess);
  EXPECT_EQ(effect.verdict, Verdict::reproduced);
}

TEST(JudgeTest, EveryEffectOfAClaimHasToHoldExceptControls) {
  Claim claim = lower_loss();
  claim.effects.push_back(compared(mean_score, "stabilize", "clip", "against clip"));
  std::vector<ItemRun> runs;
  add_pair(runs, {2.0, 2.0}, {2.2, 2.2001});
  const auto with_clip = [&](double a, double b) {
    auto all = runs;
    all.push_back(finished_run("clip", 0, a));
    all.push_back(finished_run("clip", 1, b));
    return judged(all, claim).verdict;
  };
  EXPECT_EQ(with_clip(2.1, 2.1001), Verdict::reproduced);
  EXPECT_EQ(with_clip(2.1, 1.9), Verdict::undecided);
  EXPECT_EQ(with_clip(1.9, 1.9001), Verdict::not_reproduced);
  claim.effects.back().control = true;
  EXPECT_EQ(with_clip(1.9, 1.9001), Verdict::reproduced);
}

TEST(JudgeTest, HorizonsThatDifferLeaveItUndecided) {
  std::vector<ItemRun> runs;
  add_pair(runs, {2.0, 2.0}, {2.2, 2.2001});
  EXPECT_EQ(judged(runs).verdict, Verdict::reproduced);
  auto agreeing = runs;
  add_pair(agreeing, {1.0, 1.0}, {1.2, 1.2001}, "long");
  EXPECT_EQ(judged(agreeing).verdict, Verdict::reproduced);
  ASSERT_EQ(judged(agreeing).horizons.size(), 2u);
  auto opposed = runs;
  add_pair(opposed, {1.2, 1.2001}, {1.0, 1.0}, "long");
  EXPECT_EQ(judged(opposed).verdict, Verdict::undecided);
  EXPECT_EQ(judged(opposed).horizons[1].verdict, Verdict::not_reproduced);
}

TEST(JudgeTest, AClaimIsAboutItsContexts) {
  Claim claim = lower_loss();
  for (Term& term : claim.effects.front().terms) term.where = {{"lr", "0.01"}};
  std::vector<ItemRun> runs;
  add_pair(runs, {2.0, 2.0}, {2.2, 2.2001}, "short", {{"lr", "0.01"}});
  add_pair(runs, {3.0, 3.0}, {1.0, 1.0}, "short", {{"lr", "0.001"}});
  add_pair(runs, {3.0, 3.0}, {1.0, 1.0}, "long", {{"lr", "0.001"}});
  EXPECT_EQ(judged(runs, claim).verdict, Verdict::reproduced);
  EXPECT_EQ(judged(runs, claim).horizons.size(), 1u) << "the long horizon has no such context";
  EXPECT_EQ(judged(runs).horizons[0].verdict, Verdict::not_reproduced) << "over both contexts";
}

TEST(JudgeTest, OffsetsAreLimits) {
  Claim claim{"within 0.02", "a test", "nats", {{"range", {{1.0, score_range, "stabilize", {}}}, -0.02}}};
  std::vector<ItemRun> runs;
  add_pair(runs, {2.0, 2.0}, {}, "short", {{"gamma1", "0.4"}});
  add_pair(runs, {2.019, 2.0189}, {}, "short", {{"gamma1", "0.8"}});
  EXPECT_EQ(judged(runs, claim).verdict, Verdict::reproduced);
  add_pair(runs, {2.021, 2.0211}, {}, "short", {{"gamma1", "0.7"}});
  EXPECT_EQ(judged(runs, claim).verdict, Verdict::not_reproduced);
}

TEST(JudgeTest, WhatLiesWithinTheMarginMakesNoDifference) {
  // Differences of -0.01, seed by seed: an interval from -0.01 - half to -0.01 + half, for half = 4.3027 d /
  // sqrt(3) with the deviation d. It reaches -0.02 for d = 0.01 sqrt(3) / 4.3027 = 0.0040.
  EXPECT_EQ(verdict({2.0, 2.0, 2.0}, {2.01 - 0.0039, 2.01, 2.01 + 0.0039}), Verdict::no_difference);
  EXPECT_EQ(verdict({2.0, 2.0, 2.0}, {2.01 - 0.0041, 2.01, 2.01 + 0.0041}), Verdict::undecided);
  // Also where it is certain that there is one.
  EXPECT_EQ(verdict({2.0, 2.0, 2.0}, {2.01 - 0.001, 2.01, 2.01 + 0.001}), Verdict::no_difference);
  EXPECT_EQ(verdict({2.0, 2.0, 2.0}, {2.03 - 0.001, 2.03, 2.03 + 0.001}), Verdict::reproduced);
  EXPECT_EQ(verdict({2.03 - 0.001, 2.03, 2.03 + 0.001}, {2.0, 2.0, 2.0}), Verdict::not_reproduced);
  // Units without a margin, and limits, have no such verdict unless there is no difference at all.
  std::vector<ItemRun> runs;
  add_pair(runs, {2.0, 2.0, 2.0}, {2.01 - 0.001, 2.01, 2.01 + 0.001});
  Claim claim = lower_loss();
  claim.unit = "updates";
  EXPECT_EQ(judged(runs, claim).verdict, Verdict::reproduced);
  std::vector<ItemRun> equal;
  add_pair(equal, {2.0, 2.1, 2.2}, {2.0, 2.1, 2.2});
  EXPECT_EQ(judged(equal, claim).verdict, Verdict::no_difference);
  claim = lower_loss();
  claim.effects.front().offset = -0.001;
  EXPECT_EQ(judged(runs, claim).verdict, Verdict::reproduced);
}

TEST(JudgeTest, TheMarginOfAnMseIsAShareOfIt) {
  Claim claim = lower_loss();
  claim.unit = "MSE";
  for (const double scale : {1.0, 0.01}) {
    const auto of = [&](double difference) {
      std::vector<ItemRun> runs;
      const double none = 2.0 * scale, less = difference * scale;
      add_pair(runs, {none - 0.99 * less, none - less, none - 1.01 * less}, {none, none, none});
      return judged(runs, claim).verdict;
    };
    // The interval of differences 0.99 d, d and 1.01 d reaches (1 + 0.01 * 4.3027 / sqrt(3)) d = 1.0248 d.
    EXPECT_EQ(of(0.0195), Verdict::no_difference) << scale;
    EXPECT_EQ(of(0.0196), Verdict::reproduced) << scale;
  }
}

TEST(JudgeTest, OneEffectWithoutADifferenceIsEnoughForTheClaim) {
  Claim claim = lower_loss();
  claim.effects.push_back(compared(mean_score, "stabilize", "clip", "against clip"));
  std::vector<ItemRun> runs;
  add_pair(runs, {2.0, 2.0}, {2.2, 2.2001});
  const auto with_clip = [&](double a, double b) {
    auto all = runs;
    all.push_back(finished_run("clip", 0, a));
    all.push_back(finished_run("clip", 1, b));
    return judged(all, claim);
  };
  EXPECT_EQ(with_clip(2.001, 2.0011).verdict, Verdict::no_difference);
  EXPECT_TRUE(all_decided({with_clip(2.001, 2.0011)}));
  EXPECT_EQ(with_clip(2.1, 1.9).verdict, Verdict::undecided);
  EXPECT_FALSE(all_decided({with_clip(2.1, 1.9)}));
  claim.effects.back().control = true;
  EXPECT_TRUE(all_decided({with_clip(2.1, 1.9)}));
}

TEST(JudgeTest, SeedsThatWereAddedHaveWiderIntervals) {
  Records records;
  {
    std::vector<ItemRun> runs;
    add_pair(runs, {2.0, 2.0, 2.0}, {2.1, 2.2, 2.3});
    records = records_of(runs);
  }
  records.looks = {3, 5};
  const EffectResult effect = judge({lower_loss()}, records).front().horizons.front().effects.front();
  // A share of 3/5 of 5 % is 3 % for the first look: t with 2 degrees of freedom at 1.5 % is 5.6428.
  EXPECT_NEAR(effect.interval.high, -0.2 + 5.6428 * 0.1 / std::sqrt(3.0), 1e-5);
  // A last share of 2 %, and a power of 80 %: 6.9646 and 1.0607.
  EXPECT_NEAR(effect.detectable, (6.9646 + 1.0607) * 0.1 / std::sqrt(3.0), 1e-4);
  records.looks = {};
  const EffectResult fixed = judge({lower_loss()}, records).front().horizons.front().effects.front();
  EXPECT_LT(fixed.interval.high, effect.interval.high);
}

}  // namespace
}  // namespace gradstab::lab
