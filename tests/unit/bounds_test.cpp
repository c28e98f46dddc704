// The closed-form bounds against numbers that were computed elsewhere.
#include "gradstab/bounds.hpp"

#include <gtest/gtest.h>

#include <cmath>

namespace gradstab {
namespace {

/// Half a unit of the sixth decimal: the published numbers have six.
constexpr double kSixDecimals = 0.5e-6;

StabilizerOptions paper(double gamma1, double gamma2) {
  StabilizerOptions options = StabilizerOptions::paper();
  options.gamma1 = gamma1;
  options.gamma2 = gamma2;
  return options;
}

/// The defining sum, term by term: sqrt of sum over w < t of (gamma1^2/gamma2)^w.
double step_bound_by_summation(const StabilizerOptions& options, std::int64_t step) {
  const double x = options.gamma1 * options.gamma1 / options.gamma2;
  long double sum = 0.0L;
  long double power = 1.0L;
  for (std::int64_t w = 0; w < step; ++w, power *= x) sum += power;
  const auto t = static_cast<double>(step);
  const double bound =
      (1.0 - options.gamma1) / std::sqrt(1.0 - options.gamma2) * static_cast<double>(std::sqrt(sum));
  if (!options.bias_correction) return bound;
  return bound * std::sqrt(1.0 - std::pow(options.gamma2, t)) / (1.0 - std::pow(options.gamma1, t));
}

TEST(BoundsTest, UniformBoundAtTheDefaults) {
  EXPECT_NEAR(uniform_bound(StabilizerOptions::paper()), 15.815842, kSixDecimals);
}

TEST(BoundsTest, StepBoundAtTheDefaultsMatchesTheTable) {
  struct Row {
    std::int64_t step;
    double paper;
    double released;
  };
  constexpr Row kTable[] = {{1, 12.649111, 1.000000},     {2, 14.753225, 1.030655},
                            {5, 15.767712, 1.207746},     {10, 15.815550, 1.587602},
                            {100, 15.815842, 4.880100},   {1000, 15.815842, 12.576375},
                            {10000, 15.815842, 15.815484}};
  for (const Row& row : kTable) {
    EXPECT_NEAR(step_bound(StabilizerOptions::paper(), row.step), row.paper, kSixDecimals) << row.step;
    EXPECT_NEAR(step_bound(StabilizerOptions{}, row.step), row.released, kSixDecimals) << row.step;
  }
}

TEST(BoundsTest, StepBoundGrowsToTheUniformBoundInThePaperForm) {
  const StabilizerOptions options = StabilizerOptions::paper();
  double before = 0.0;
  for (std::int64_t step = 1; step <= 60; ++step) {
    const double bound = step_bound(options, step);
    EXPECT_GE(bound, before);
    EXPECT_LE(bound, uniform_bound(options) * (1.0 + 1e-15));
    before = bound;
  }
  EXPECT_NEAR(before, uniform_bound(options), 1e-14 * before);
}

TEST(BoundsTest, StepBoundEqualsItsDefiningSumForEveryRatio) {
  struct Gammas {
    double first;
    double second;
  };
  // x = gamma1^2/gamma2: below 1, exactly 1 (0.5^2/0.25), just beside 1, and far above.
  constexpr Gammas kCases[] = {{0.6, 0.999}, {0.85, 0.99}, {0.5, 0.25},    {0.5, 0.2500000001},
                               {0.9, 0.5},   {0.99, 0.9},  {0.999, 0.001}, {0.0, 0.9}};
  for (const Gammas& gammas : kCases) {
    for (const bool corrected : {false, true}) {
      StabilizerOptions options = paper(gammas.first, gammas.second);
      options.bias_correction = corrected;
      for (const std::int64_t step : {1, 2, 3, 10, 40}) {
        const double expected = step_bound_by_summation(options, step);
        EXPECT_NEAR(step_bound(options, step), expected, 1e-12 * expected)
            << gammas.first << " " << gammas.second << " step " << step;
      }
    }
  }
}

TEST(BoundsTest, WhereGamma1SquaredReachesGamma2ThereIsNoUniformBound) {
  EXPECT_TRUE(std::isinf(uniform_bound(paper(0.5, 0.25))));
  EXPECT_TRUE(std::isinf(uniform_bound(paper(0.9, 0.5))));
  EXPECT_TRUE(std::isinf(uniform_bound(paper(0.9, 0.0))));
  EXPECT_TRUE(std::isfinite(uniform_bound(paper(0.5, 0.2501))));
  // x = 1: the bound of one step grows with the root of the step.
  EXPECT_NEAR(step_bound(paper(0.5, 0.25), 1000000), 0.5 / std::sqrt(0.75) * 1000.0, 1e-9);
}

TEST(BoundsTest, WithoutMemoryInTheFirstMomentTheBoundIsThatOfOneStep) {
  EXPECT_DOUBLE_EQ(uniform_bound(paper(0.0, 0.999)), 1.0 / std::sqrt(1.0 - 0.999));
  EXPECT_DOUBLE_EQ(step_bound(paper(0.0, 0.999), 50), 1.0 / std::sqrt(1.0 - 0.999));
  EXPECT_DOUBLE_EQ(uniform_bound(paper(0.0, 0.0)), 1.0);
  EXPECT_DOUBLE_EQ(step_bound(paper(0.0, 0.0), 1), 1.0);
  EXPECT_DOUBLE_EQ(step_bound(paper(0.0, 0.0), 7), 1.0);
}

TEST(BoundsTest, WithoutMemoryInTheSecondMomentOnlyTheFirstStepIsBounded) {
  EXPECT_DOUBLE_EQ(step_bound(paper(0.6, 0.0), 1), 1.0 - 0.6);
  EXPECT_TRUE(std::isinf(step_bound(paper(0.6, 0.0), 2)));
}

TEST(BoundsTest, SpikeBoundFallsFromTheMildToTheExtremeSpike) {
  const StabilizerOptions options = StabilizerOptions::paper();
  EXPECT_NEAR(spike_bound(options, 1.0), 12.649111 + 18.973666, 2 * kSixDecimals);
  EXPECT_NEAR(spike_bound(options, 10.0), 12.649111 + 1.8973666, 2 * kSixDecimals);
  EXPECT_NEAR(spike_bound(options, 1e12), 12.649111, kSixDecimals);
}

TEST(BoundsTest, StationaryNormsGiveOneOverTheRootOfOnePlusSquaredVariation) {
  EXPECT_EQ(stationary_stabilized_norm(0.0), 1.0);
  EXPECT_NEAR(stationary_stabilized_norm(0.5), 0.894427, kSixDecimals);
  EXPECT_NEAR(stationary_stabilized_norm(1.0), 0.707107, kSixDecimals);
}

TEST(BoundsTest, WorstCaseNormsGrowByGamma2OverGamma1) {
  const StabilizerOptions options;
  EXPECT_EQ(worst_case_norm(options, 1), 1.0);
  EXPECT_DOUBLE_EQ(worst_case_norm(options, 2), 1.665);
  EXPECT_NEAR(worst_case_norm(options, 21) / worst_case_norm(options, 20), 1.665, 1e-13);
}

}  // namespace
}  // namespace gradstab
