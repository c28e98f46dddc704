// Deciding by looks: how often it errs where there is no effect, and how often it finds one.
#include "lab/reproduce/looks.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <numeric>
#include <random>
#include <span>

#include "lab/report/grouping.hpp"

namespace gradstab::lab {
namespace {

TEST(StudentTest, QuantilesAreThoseOfTheClosedForms) {
  EXPECT_NEAR(t_quantile(1, 0.025), std::tan(M_PI * 0.475), 1e-9);  // Cauchy
  EXPECT_NEAR(t_quantile(2, 0.025), 0.95 * std::sqrt(2.0 / (1 - 0.95 * 0.95)), 1e-9);
  EXPECT_NEAR(t_quantile(2, 0.2), 0.6 * std::sqrt(2.0 / (1 - 0.6 * 0.6)), 1e-9);
  for (std::size_t df = 1; df < 30; ++df) EXPECT_GT(t_quantile(df, 0.025), t_quantile(df + 1, 0.025)) << df;
  EXPECT_NEAR(t_quantile(1'000'000, 0.025), 1.959964, 1e-4);  // normal
  EXPECT_TRUE(std::isnan(t_quantile(0, 0.025)));
}

TEST(StudentTest, OneValueBoundsNothing) {
  EXPECT_FALSE(interval_of_mean(1.0, 0.0, 1, 0.05).is_known());
  EXPECT_FALSE(interval_of_mean(1.0, 0.0, 0, 0.05).is_known());
  EXPECT_TRUE(interval_of_mean(1.0, 0.5, 2, 0.05).is_known());
}

TEST(LooksTest, ComeAfterHalfAsManySeedsAgain) {
  EXPECT_EQ(looks_up_to(3, 20), (std::vector{3, 5, 8, 12, 18, 20}));
  EXPECT_EQ(looks_up_to(5, 8), (std::vector{5, 8}));
  EXPECT_EQ(looks_up_to(3, 3), (std::vector{3}));
  EXPECT_EQ(looks_up_to(5, 3), (std::vector{3}));
}

TEST(LooksTest, TheErrorRatesAddUp) {
  for (const auto& looks : {looks_up_to(3, 20), looks_up_to(2, 100), looks_up_to(5, 5)}) {
    const auto rates = error_rates(looks);
    EXPECT_NEAR(std::accumulate(rates.begin(), rates.end(), 0.0), kErrorRate, 1e-15);
    for (const double rate : rates) EXPECT_GT(rate, 0.0);
  }
}

TEST(LooksTest, OneLookIsTheFixedRule) {
  const std::vector<double> values = {0.1, 0.4, 0.2};
  const Spread spread = spread_of(values);
  const Interval fixed = interval_of_mean(spread.mean, spread.deviation, 3, kErrorRate);
  const Interval looked = interval_over_looks(values, {3});
  EXPECT_EQ(looked.low, fixed.low);
  EXPECT_EQ(looked.high, fixed.high);
}

/// What happens over all looks of one reproduction.
struct Outcome {
  bool decided = false;  ///< at one of them zero was outside
  int seeds = 0;         ///< at the first such, or in all
};

/// With looks by the rule, or with the interval of a fixed number of seeds at every look.
Outcome outcome(const std::vector<double>& values, const std::vector<int>& looks, bool by_the_rule) {
  for (const int seeds : looks) {
    const std::vector<double> seen(values.begin(), values.begin() + seeds);
    const Spread spread = spread_of(seen);
    const Interval interval =
        by_the_rule ? interval_over_looks(seen, looks)
                    : interval_of_mean(spread.mean, spread.deviation, spread.finite, kErrorRate);
    if (interval.low > 0.0 || interval.high < 0.0) return {true, seeds};
  }
  return {false, looks.back()};
}

/// The share of many reproductions that decide, where the mean is so many deviations.
double decided_share(double effect, const std::vector<int>& looks, bool by_the_rule, int trials,
                     double* mean_seeds = nullptr) {
  std::mt19937_64 random(20261201);
  std::normal_distribution<double> draw(effect, 1.0);
  int decided = 0;
  double seeds = 0.0;
  for (int trial = 0; trial < trials; ++trial) {
    std::vector<double> values(static_cast<std::size_t>(looks.back()));
    for (double& value : values) value = draw(random);
    const Outcome one = outcome(values, looks, by_the_rule);
    decided += one.decided ? 1 : 0;
    seeds += one.seeds;
  }
  if (mean_seeds != nullptr) *mean_seeds = seeds / trials;
  return static_cast<double>(decided) / trials;
}

TEST(LooksTest, WithoutAnEffectTheyErrInAtMostFivePercent) {
  constexpr int kTrials = 20'000;
  const double error = 4.0 * std::sqrt(0.05 * 0.95 / kTrials);  // four standard errors of a share of 5 %
  const std::vector<int> looks = looks_up_to(3, 20);
  EXPECT_LE(decided_share(0.0, looks, true, kTrials), 0.05 + error);
  // The control: the interval of a fixed number of seeds, looked at again and again.
  EXPECT_GT(decided_share(0.0, looks, false, kTrials), 0.05 + 10 * error);
}

TEST(LooksTest, TheyFindEffectsWithFewSeeds) {
  constexpr int kTrials = 4'000;
  const std::vector<int> looks = looks_up_to(3, 20);
  double seeds = 0.0;
  // An effect of one standard deviation, as between the method and no method at the paper's learning rate.
  EXPECT_GE(decided_share(1.0, looks, true, kTrials, &seeds), 0.93);
  EXPECT_LE(seeds, 13.0);
  // Three deviations: found with few seeds, by all.
  EXPECT_GE(decided_share(3.0, looks, true, kTrials, &seeds), 0.999);
  EXPECT_LE(seeds, 5.5);
  // What detectable_mean says of the fixed rule is close to what happens: Student's t in place of its
  // non-central form is off by a few percent of the trials.
  const double effect = detectable_mean(1.0, 12, kErrorRate);
  EXPECT_NEAR(decided_share(effect, {12}, true, kTrials), 0.8, 0.05);
}

TEST(LooksTest, AllIntervalsHoldTogether) {
  constexpr int kTrials = 20'000;
  std::mt19937_64 random(7);
  std::normal_distribution<double> draw(0.3, 1.0);
  const std::vector<int> looks = looks_up_to(3, 12);
  int missed = 0;
  for (int trial = 0; trial < kTrials; ++trial) {
    std::vector<double> values(12);
    for (double& value : values) value = draw(random);
    const Interval interval = interval_over_looks(values, looks);
    missed += interval.low > 0.3 || interval.high < 0.3 ? 1 : 0;
  }
  EXPECT_LE(missed, kTrials * 0.05);
  EXPECT_GT(missed, kTrials * 0.01) << "wider than it has to be";
}

TEST(LooksTest, ASeedWithoutItsRunsIsLeftOut) {
  const std::vector<double> values = {0.1, std::nan(""), 0.2, 0.15, 0.12};
  const Interval all = interval_over_looks(values, {3, 5});
  const Spread two = spread_of(std::span(values).first(3)), four = spread_of(values);
  EXPECT_EQ(two.finite, 2u);
  const Interval first = interval_of_mean(two.mean, two.deviation, 2, 0.03);
  const Interval second = interval_of_mean(four.mean, four.deviation, 4, 0.02);
  EXPECT_EQ(all.low, std::max(first.low, second.low));
  EXPECT_EQ(all.high, std::min(first.high, second.high));
}

}  // namespace
}  // namespace gradstab::lab
