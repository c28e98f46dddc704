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
  EXPECT_NEAR(effect.half_width, 4.3027 * 0.1 / std::sqrt(3.0), 1e-12);  // 0.2484: reaches above zero
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

TEST(JudgeTest, QuantilesFallTowardsTheNormalOnes) {
  EXPECT_NEAR(t_quantile(1), std::tan(M_PI * 0.475), 1e-4);  // Cauchy
  EXPECT_NEAR(t_quantile(2), 0.95 * std::sqrt(2.0 / (1 - 0.95 * 0.95)), 1e-4);
  for (std::size_t df = 1; df < 30; ++df) EXPECT_GT(t_quantile(df), t_quantile(df + 1)) << df;
  EXPECT_EQ(t_quantile(1000), t_quantile(30));
  EXPECT_GT(t_quantile(1000), 1.96);
  EXPECT_TRUE(std::isnan(t_quantile(0)));
}

}  // namespace
}  // namespace gradstab::lab
