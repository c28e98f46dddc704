// One unit's decisions over time.
#include "gradstab/decide.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "gradstab/bounds.hpp"

namespace gradstab {
namespace {

/// One unit that is fed norms.
class Unit {
 public:
  explicit Unit(StabilizerOptions options) : options_(options) {}

  Decision feed(double norm) {
    return decide(options_, bias_correction_at(options_, moments.step + 1), moments, norm);
  }
  double rho(double norm) { return feed(norm).stabilized_norm; }

  NormMoments moments;

 private:
  StabilizerOptions options_;
};

/// Moments in units that their exponent has been taken out of.
double first_moment(const NormMoments& moments) {
  return std::ldexp(moments.first, moments.exponent);
}

TEST(DecideTest, ConstantNormGivesStabilizedNormOneAtEveryStep) {
  for (const double norm : {1.0, 3.7, 1e-30, 1e30, 1e-200, 1e200}) {
    Unit unit{StabilizerOptions{}};
    for (int step = 1; step <= 3000; ++step) {
      // v is a sum of `step` roundings, and bias correction divides its error by 1 - gamma2^step.
      ASSERT_NEAR(unit.rho(norm), 1.0, 1e-12) << "norm " << norm << " step " << step;
    }
  }
}

TEST(DecideTest, PaperFormStartsLargeForAnyConstantNorm) {
  Unit unit{StabilizerOptions::paper()};
  std::vector<double> rho = {0.0};
  for (int step = 1; step <= 1000; ++step) rho.push_back(unit.rho(7.0));
  EXPECT_NEAR(rho[1], 12.65, 0.005);
  EXPECT_NEAR(rho[3], 14.32, 0.005);
  EXPECT_NEAR(rho[100], 3.24, 0.005);
  EXPECT_NEAR(rho[1000], 1.26, 0.005);
  EXPECT_EQ(std::max_element(rho.begin(), rho.end()) - rho.begin(), 3) << "the peak is at the third step";
}

TEST(DecideTest, MomentsFollowTheirRecursion) {
  const StabilizerOptions options{.gamma1 = 0.85, .gamma2 = 0.99};
  Unit unit{options};
  double first = 0.0;
  double second = 0.0;
  int step = 0;
  for (const double norm : {2.0, 5.0, 0.25, 1e3, 3.0}) {
    ++step;
    first = 0.85 * first + (1.0 - 0.85) * norm;
    second = 0.99 * second + (1.0 - 0.99) * norm * norm;
    const double expected =
        first / (1.0 - std::pow(0.85, step)) / std::sqrt(second / (1.0 - std::pow(0.99, step)));
    const Decision decision = unit.feed(norm);
    EXPECT_NEAR(unit.moments.first, first, 1e-15 * first);
    EXPECT_NEAR(unit.moments.second, second, 4e-16 * second);
    EXPECT_EQ(unit.moments.step, step);
    EXPECT_NEAR(decision.stabilized_norm, expected, 1e-15 * expected);
    EXPECT_NEAR(decision.factor * norm, expected, 1e-15 * expected);
  }
}

TEST(DecideTest, WithoutBiasCorrectionNothingIsDivided) {
  const BiasCorrection correction = bias_correction_at(StabilizerOptions::paper(), 5);
  EXPECT_EQ(correction.first, 1.0);
  EXPECT_EQ(correction.second, 1.0);
}

TEST(DecideTest, WithoutMemoryEveryNormBecomesOne) {
  Unit unit{{.gamma1 = 0.0, .gamma2 = 0.0}};
  for (const double norm : {1.0, 1e9, 1e-9}) EXPECT_NEAR(unit.rho(norm), 1.0, 1e-15);
}

TEST(DecideTest, EpsilonActsAsInTheReleasedCode) {
  // First step: rho = R / (R + eps), and below eps the floor of the raw norm adds a second factor.
  for (const double norm : {1.0, 1e-10, 1e-12, 1e-13}) {
    Unit unit{StabilizerOptions::released()};
    const Decision decision = unit.feed(norm);
    const double rho = norm / (norm + 1e-12);
    const double expected = rho * norm / std::fmax(norm, 1e-12);
    EXPECT_NEAR(decision.stabilized_norm, expected, 1e-14 * expected) << norm;
    EXPECT_NEAR(decision.factor, expected / norm, 1e-14 * expected / norm) << norm;
  }
  Unit tiny{StabilizerOptions::released()};
  EXPECT_NEAR(tiny.rho(1e-13), 0.0091, 0.00005);
}

/// What a spike does afterwards, after 3000 steps of norm 1.
struct Recovery {
  double spike_ratio;
  double on_spike;
  double smallest_after;
  int half;  // steps after the spike until rho is at least 0.5 again; 0: it never fell below
  int nine_tenths;
};

Recovery simulate(double spike_ratio, int steps_after) {
  Unit unit{StabilizerOptions{}};
  for (int step = 0; step < 3000; ++step) unit.feed(1.0);
  Recovery result{spike_ratio, unit.rho(spike_ratio), std::numeric_limits<double>::infinity(), 0, 0};
  for (int step = 1; step <= steps_after; ++step) {
    const double rho = unit.rho(1.0);
    result.smallest_after = std::fmin(result.smallest_after, rho);
    if (rho < 0.5) result.half = step + 1;
    if (rho < 0.9) result.nine_tenths = step + 1;
  }
  return result;
}

TEST(DecideTest, SpikeIsBoundedAndItsAftermathLastsAsLongAsTheTableSays) {
  // Six digits of the simulation that the published table rounds.
  constexpr Recovery kTable[] = {{10, 4.38, 0.95, 0, 0},
                                 {100, 11.96, 0.30, 1219, 3752},
                                 {1e3, 12.34, 0.031, 5807, 8354},
                                 {1e6, 12.33, 3.1e-5, 19615, 22163}};
  for (const Recovery& expected : kTable) {
    const Recovery got = simulate(expected.spike_ratio, 25000);
    EXPECT_NEAR(got.on_spike, expected.on_spike, 0.005) << expected.spike_ratio;
    EXPECT_NEAR(got.smallest_after / expected.smallest_after, 1.0, 0.03) << expected.spike_ratio;
    EXPECT_EQ(got.half, expected.half) << expected.spike_ratio;
    EXPECT_EQ(got.nine_tenths, expected.nine_tenths) << expected.spike_ratio;
  }
}

TEST(DecideTest, NormsBeyondTheRangeOfSquaresDecideLikeOrdinaryOnes) {
  const std::vector<double> norms = {1.0, 2.0, 1e6, 0.5, 3.0, 1e-6, 1.0, 1.0, 1e9, 1.0};
  Unit ordinary{StabilizerOptions{}};
  std::vector<double> expected;
  for (const double norm : norms) expected.push_back(ordinary.rho(norm));
  for (const int exponent : {600, 900, -600, -950}) {
    Unit scaled{StabilizerOptions{}};
    for (std::size_t i = 0; i < norms.size(); ++i) {
      const double norm = std::ldexp(norms[i], exponent);
      const Decision decision = scaled.feed(norm);
      EXPECT_EQ(decision.stabilized_norm, expected[i]) << "exponent " << exponent << " step " << i;
      EXPECT_EQ(decision.factor, expected[i] / norm);
    }
  }
}

TEST(DecideTest, AnExtremeSpikeIsBoundedAndForgottenLikeAnyOther) {
  Unit unit{StabilizerOptions{}};
  for (int step = 0; step < 100; ++step) unit.feed(1.0);
  const double rho = unit.rho(1e300);
  EXPECT_GT(rho, 1.0);
  EXPECT_LE(rho, step_bound({}, 101));
  EXPECT_NEAR(first_moment(unit.moments) / 4e299, 1.0, 1e-12);
  for (int step = 0; step < 2000; ++step) {
    const double after = unit.rho(1.0);
    ASSERT_TRUE(std::isfinite(after) && after > 0.0) << step;
  }
  // 0.6^2000 of the spike is below 1e-143 in the first moment: only the norms of 1 are left.
  EXPECT_NEAR(first_moment(unit.moments), 1.0, 1e-12);
}

TEST(DecideTest, AnOrdinaryNormAfterExtremelySmallOnesIsASpike) {
  Unit unit{StabilizerOptions{}};
  for (int step = 0; step < 100; ++step) unit.feed(1e-300);
  const double rho = unit.rho(1.0);
  EXPECT_GT(rho, 1.0);
  EXPECT_LE(rho, step_bound({}, 101));
}

TEST(DecideTest, ASecondMomentThatForgetsAtOnceDoesNotUnderflow) {
  // The square of the last norm alone, 1.6e-333, is no double.
  Unit unit{{.gamma1 = 0.0, .gamma2 = 0.0}};
  for (const double norm : {3e70, 2e26, 4e-167, 1e-300, 1e308}) {
    EXPECT_NEAR(unit.rho(norm), 1.0, 1e-15) << norm;
  }
  Unit nearly{{.gamma1 = 0.0, .gamma2 = 1e-12}};
  for (const double norm : {3e300, 1.0, 4e-300}) {
    const double rho = nearly.rho(norm);
    EXPECT_TRUE(std::isfinite(rho)) << norm;
    EXPECT_LE(rho, uniform_bound({.gamma1 = 0.0, .gamma2 = 1e-12}) * (1 + 1e-15)) << norm;
  }
}

TEST(DecideTest, AFirstMomentThatOutlivesTheSecondNeverBecomesInfinite) {
  // gamma1^2 >= gamma2: rho has no bound, and here it would be 1e600. State and factor stay finite.
  Unit unit{{.gamma1 = 0.9, .gamma2 = 0.0}};
  for (const double norm : {1e300, 1e-300, 1.0, 1e-300, 1e300}) {
    const Decision decision = unit.feed(norm);
    EXPECT_TRUE(std::isfinite(decision.factor)) << norm;
    EXPECT_TRUE(std::isfinite(decision.stabilized_norm)) << norm;
    EXPECT_TRUE(std::isfinite(unit.moments.first) && std::isfinite(unit.moments.second)) << norm;
  }
  EXPECT_NEAR(unit.rho(1e300), 1.0, 1.0) << "it recovers";
}

TEST(DecideTest, DenormalNormsAreScaledAsFarAsADoubleReaches) {
  Unit unit{StabilizerOptions{}};
  const double smallest = std::numeric_limits<double>::denorm_min();
  for (const double norm : {smallest, 4 * smallest, 0x1p-1030, 0x1p-1022, 0x1p-1000}) {
    const Decision decision = unit.feed(norm);
    EXPECT_TRUE(std::isfinite(decision.factor)) << norm;
    EXPECT_GT(decision.factor * norm, 0.0) << norm;
    EXPECT_LE(decision.factor * norm, decision.stabilized_norm * (1 + 1e-15)) << norm;
  }
}

TEST(DecideTest, SpikeIsAnnouncedAboveTheRatioAfterTenNorms) {
  const StabilizerOptions options{.spike_ratio = 4.0};
  for (int history = 0; history <= 12; ++history) {
    Unit unit{options};
    for (int step = 0; step < history; ++step) EXPECT_FALSE(unit.feed(1.0).spike);
    Unit copy = unit;
    EXPECT_FALSE(copy.feed(3.999).spike);
    EXPECT_EQ(unit.feed(4.001).spike, history >= kSpikeHistory) << history;
  }
}

TEST(DecideTest, SpikeFlagKnowsTheBiasCorrectedMomentInThePaperFormToo) {
  StabilizerOptions options = StabilizerOptions::paper();
  Unit unit{options};
  for (int step = 0; step < 20; ++step) EXPECT_FALSE(unit.feed(1.0).spike) << step;
  EXPECT_TRUE(unit.feed(4.001).spike);
}

TEST(DecideTest, ResumedRunMatchesUninterruptedRun) {
  Unit whole{StabilizerOptions{}};
  Unit first_half{StabilizerOptions{}};
  for (int step = 0; step < 50; ++step) {
    whole.feed(1.0 + step % 7);
    first_half.feed(1.0 + step % 7);
  }
  Unit second_half{StabilizerOptions{}};
  second_half.moments = first_half.moments;  // plain data: copying it is checkpointing it
  for (int step = 0; step < 50; ++step) {
    EXPECT_EQ(whole.rho(2.0 + step % 5), second_half.rho(2.0 + step % 5));
  }
  EXPECT_EQ(whole.moments, second_half.moments);
}

}  // namespace
}  // namespace gradstab
