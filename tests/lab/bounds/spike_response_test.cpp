// Simulated spikes against the documented table and against the closed forms.
#include "lab/bounds/spike_response.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "gradstab/bounds.hpp"

namespace gradstab::lab {
namespace {

constexpr std::int64_t kHistory = 3000;

StabilizerOptions options_of(double gamma1, double gamma2, bool bias_correction = true, double kappa = 0.0) {
  StabilizerOptions options;
  options.gamma1 = gamma1;
  options.gamma2 = gamma2;
  options.bias_correction = bias_correction;
  options.robust_kappa = kappa;
  return options;
}

/// Relative error of a simulated rho. Each update of a moment rounds three times, and what it got wrong
/// decays with the moment: 3 u / (1-gamma) in the end, u being half an epsilon; the root halves the second
/// moment's. The closed form's 1 - gamma^t loses another u / (1-gamma) at t = 1, in either moment.
double rounding_of(const StabilizerOptions& options) {
  return 4.0 * std::numeric_limits<double>::epsilon() *
         (1.0 / (1.0 - options.gamma1) + 1.0 / (1.0 - options.gamma2));
}

SpikeResponse simulate(const StabilizerOptions& options, double ratio, std::int64_t history = kHistory) {
  return simulate_spike(options, constant_history(options, history), ratio);
}

TEST(SpikeResponseTest, ReproducesTheDocumentedTable) {
  struct Row {
    double ratio, on_spike, smallest_after;
    std::int64_t half, nine_tenths;
    double last_digit;  ///< half a unit of the last printed digit of smallest_after
  };
  constexpr Row kTable[] = {{10, 4.38, 0.95, 0, 0, 0.005},
                            {100, 11.96, 0.30, 1219, 3752, 0.005},
                            {1e3, 12.34, 0.031, 5807, 8354, 0.0005},
                            {1e6, 12.33, 3.1e-5, 19615, 22163, 0.05e-5}};
  for (const Row& row : kTable) {
    const SpikeResponse response = simulate(StabilizerOptions{}, row.ratio);
    EXPECT_NEAR(response.on_spike, row.on_spike, 0.005) << row.ratio;
    EXPECT_NEAR(response.smallest_after, row.smallest_after, row.last_digit) << row.ratio;
    EXPECT_EQ(response.steps_until_half, row.half) << row.ratio;
    EXPECT_EQ(response.steps_until_nine_tenths, row.nine_tenths) << row.ratio;
  }
}

TEST(SpikeResponseTest, RhoOnTheSpikeIsTheClosedForm) {
  for (const double kappa : {0.0, 1.5, 3.0, 40.0}) {
    for (const bool bias_correction : {false, true}) {
      for (const std::int64_t history : {std::int64_t{1}, std::int64_t{20}, kHistory}) {
        for (const double ratio : {1.0, 2.0, 10.0, 1e3, 1e6}) {
          for (const auto& [gamma1, gamma2] : {std::pair{0.6, 0.999}, {0.0, 0.99}, {0.95, 0.9}}) {
            const StabilizerOptions options = options_of(gamma1, gamma2, bias_correction, kappa);
            const double expected = spike_stabilized_norm(options, ratio, history);
            EXPECT_NEAR(simulate(options, ratio, history).on_spike, expected, rounding_of(options) * expected)
                << "gammas " << gamma1 << " " << gamma2 << " kappa " << kappa << " ratio " << ratio
                << " history " << history;
          }
        }
      }
    }
  }
}

TEST(SpikeResponseTest, OneStepOfHistoryMoreIsBeyondTheTolerance) {
  const StabilizerOptions options;
  const double simulated = simulate(options, 1e3).on_spike;
  const double other = spike_stabilized_norm(options, 1e3, kHistory + 1);
  EXPECT_GT(std::fabs(simulated - other), 100.0 * rounding_of(options) * other);
}

TEST(SpikeResponseTest, SmallestRhoAfterLiesBetweenTheClosedFormAndWhatTheFirstMomentAdds) {
  for (const double kappa : {0.0, 30.0}) {
    for (const double ratio : {10.0, 100.0, 1e3, 1e6}) {
      const StabilizerOptions options = options_of(0.6, 0.999, true, kappa);
      const double entering = kappa > 0.0 ? std::fmin(kappa, ratio) : ratio;
      const double suppressed = suppressed_stabilized_norm(options, ratio, kHistory);
      // j steps after the spike the first moment is (1-gamma1)(K-1) gamma1^j above 1, and the second has lost
      // at most the factor gamma2^j; what its bias correction divides by has grown.
      const auto weight = [&](int j) {
        return 1.0 - std::pow(options.gamma2, static_cast<double>(kHistory + 1 + j));
      };
      double upper = std::numeric_limits<double>::infinity();
      for (int j = 1; j <= 200; ++j) {
        const double first = 1.0 + (1.0 - options.gamma1) * (entering - 1.0) * std::pow(options.gamma1, j);
        const double second = std::pow(options.gamma2, j) * weight(0) / weight(j);
        upper = std::fmin(upper, suppressed * first / std::sqrt(second));
      }
      const double smallest = simulate(options, ratio).smallest_after;
      EXPECT_GE(smallest, suppressed * (1.0 - rounding_of(options))) << ratio;
      EXPECT_LE(smallest, upper * (1.0 + rounding_of(options))) << ratio;
      EXPECT_LT(upper, 1.03 * suppressed) << "the interval says nothing";
    }
  }
}

TEST(SpikeResponseTest, RecoveryTakesAsManyStepsAsTheClosedFormSays) {
  struct Case {
    double gamma1, gamma2, ratio;
    std::int64_t history;
  };
  constexpr Case kCases[] = {{0.6, 0.999, 100, kHistory}, {0.6, 0.999, 1e3, kHistory},
                             {0.6, 0.999, 1e6, kHistory}, {0.6, 0.999, 1e3, 50},
                             {0.0, 0.99, 1e3, 1},         {0.8, 0.995, 1e4, 100000}};
  for (const Case& c : kCases) {
    const StabilizerOptions options = options_of(c.gamma1, c.gamma2);
    const SpikeResponse response = simulate(options, c.ratio, c.history);
    EXPECT_EQ(response.steps_until_half, recovery_steps(options, c.ratio, 0.5, c.history)) << c.ratio;
    EXPECT_EQ(response.steps_until_nine_tenths, recovery_steps(options, c.ratio, 0.9, c.history)) << c.ratio;
    // The comparison can fail: a spike of 1 % more takes longer.
    EXPECT_NE(response.steps_until_half, recovery_steps(options, 1.01 * c.ratio, 0.5, c.history)) << c.ratio;
  }
}

TEST(SpikeResponseTest, WithRobustMomentsASpikeIsOneOfKappa) {
  constexpr double kKappa = 50.0;
  const SpikeResponse robust = simulate(StabilizerOptions::robust(kKappa), 1e6);
  const SpikeResponse published = simulate(StabilizerOptions{}, kKappa);
  EXPECT_NEAR(robust.on_spike, published.on_spike, rounding_of({}) * published.on_spike);
  EXPECT_NEAR(robust.smallest_after, published.smallest_after, rounding_of({}) * published.smallest_after);
  EXPECT_EQ(robust.steps_until_half, published.steps_until_half);
  EXPECT_EQ(robust.steps_until_nine_tenths, published.steps_until_nine_tenths);
  EXPECT_GT(published.steps_until_nine_tenths, 1000);
}

TEST(SpikeResponseTest, RhoFallsBelowNothingWithTheDefaultKappa) {
  const SpikeResponse response = simulate(StabilizerOptions::robust(), 1e6);
  EXPECT_EQ(response.steps_until_half, 0);
  EXPECT_EQ(response.steps_until_nine_tenths, 0);
  EXPECT_GT(response.smallest_after, 0.99);
}

TEST(SpikeResponseTest, SpikeAsTheFirstNormOfAllIsTakenAsItIs) {
  // Published: the norms after it are seen as small. Robust: eight such norms in a row are the new scale.
  const SpikeResponse published = simulate(StabilizerOptions{}, 1e3, 0);
  const SpikeResponse robust = simulate(StabilizerOptions::robust(), 1e3, 0);
  EXPECT_EQ(published.on_spike, 1.0);
  EXPECT_EQ(robust.on_spike, 1.0);
  EXPECT_GT(published.steps_until_half, 1000);
  EXPECT_LE(robust.steps_until_half, 8);
}

TEST(SpikeResponseTest, FirstMomentThatForgetsSlowlyIsWaitedFor) {
  // rho is 0.93 right after the spike, held up by the first moment, and falls below 0.9 only later.
  const StabilizerOptions options = options_of(0.99, 0.99999);
  const NormMoments history = constant_history(options, 1'000'000);
  const SpikeResponse response = simulate_spike(options, history, 400.0);
  const double after_one = spike_curve(options, history, 400.0, 1).back().rho;
  EXPECT_GT(after_one, 0.9);
  EXPECT_LT(response.smallest_after, 0.9);
  EXPECT_GT(response.steps_until_nine_tenths, 1000);
}

TEST(SpikeResponseTest, RecoveryBeyondTheHorizonIsNotGivenANumber) {
  const SpikeResponse response = simulate(options_of(0.6, 0.9999999), 1e6);
  EXPECT_EQ(response.steps_until_half, std::nullopt);
  EXPECT_EQ(response.steps_until_nine_tenths, std::nullopt);
  EXPECT_LT(response.smallest_after, 0.5);
}

TEST(SpikeCurveTest, GoesThroughWhatTheResponseSays) {
  const StabilizerOptions options;
  const NormMoments history = constant_history(options, kHistory);
  const SpikeResponse response = simulate_spike(options, history, 1e3);
  const auto curve = spike_curve(options, history, 1e3, *response.steps_until_half);
  EXPECT_EQ(curve.front().step, 0);
  EXPECT_EQ(curve.front().rho, response.on_spike);
  EXPECT_EQ(curve.back().step, *response.steps_until_half);
  EXPECT_GE(curve.back().rho, 0.5);
  // Every step up to 100, where the smallest value is.
  for (std::int64_t step = 0; step <= 100; ++step)
    EXPECT_EQ(curve[static_cast<std::size_t>(step)].step, step);
  const auto smallest = std::ranges::min_element(curve, {}, &SpikeCurvePoint::rho);
  EXPECT_EQ(smallest->rho, response.smallest_after);
  EXPECT_TRUE(std::ranges::is_sorted(curve, std::ranges::less_equal(), &SpikeCurvePoint::step));
  EXPECT_LT(curve.size(), 400u);
}

TEST(SpikeCurveTest, ConstantNormsAloneStayAtOne) {
  const StabilizerOptions options;
  for (const SpikeCurvePoint& point : spike_curve(options, constant_history(options, 100), 1.0, 500))
    EXPECT_NEAR(point.rho, 1.0, rounding_of(options)) << point.step;
}

}  // namespace
}  // namespace gradstab::lab
