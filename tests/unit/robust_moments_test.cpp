// Robust moments: what a spike may do, and how a lasting change of scale is followed.
#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "gradstab/bounds.hpp"
#include "gradstab/decide.hpp"

namespace gradstab {
namespace {

/// One unit that is fed norms.
class Unit {
 public:
  explicit Unit(StabilizerOptions options) : options_(options) {}

  double rho(double norm) {
    return decide(options_, bias_correction_at(options_, moments.step + 1), moments, norm).stabilized_norm;
  }
  Unit& after(int steps, double norm) {
    for (int i = 0; i < steps; ++i) rho(norm);
    return *this;
  }

  NormMoments moments;

 private:
  StabilizerOptions options_;
};

Unit robust(double kappa = 3.0) {
  return Unit(StabilizerOptions::robust(kappa));
}

/// The growth of the first moment that one winsorized norm can cause.
double growth(double kappa) {
  return 0.6 + 0.4 * kappa;
}

TEST(RobustMomentsTest, WithoutOutliersNoBitDiffersFromThePublishedRule) {
  for (const bool corrected : {false, true}) {
    StabilizerOptions published;
    published.bias_correction = corrected;
    StabilizerOptions options = published;
    options.robust_kappa = 3.0;
    Unit a(published);
    Unit b(options);
    for (int step = 0; step < 500; ++step) {
      const double norm = 1.0 + 0.4 * std::sin(0.7 * step);
      ASSERT_EQ(a.rho(norm), b.rho(norm)) << step;
    }
    EXPECT_EQ(a.moments, b.moments);
    EXPECT_NE(a.rho(4.0), b.rho(4.0)) << "4 is an outlier, so the comparison above can fail";
  }
}

TEST(RobustMomentsTest, ASpikeOfAnySizeEntersAsKappaTimesTheMean) {
  for (const double kappa : {1.5, 3.0, 10.0}) {
    Unit quiet = robust(kappa);
    quiet.after(3000, 1.0);
    Unit limit = quiet;
    const double expected = limit.rho(kappa);
    for (const double spike : {1.001 * kappa, 100.0, 1e6, 1e200, 1e308}) {
      Unit unit = quiet;
      // kappa * mean rounds once more than kappa itself.
      EXPECT_NEAR(unit.rho(spike), expected, 4e-15 * expected) << kappa << " " << spike;
    }
    EXPECT_NEAR(expected, spike_stabilized_norm(StabilizerOptions::robust(kappa), 1e9, 3000), 1e-12);
    EXPECT_LE(expected, growth(kappa));
  }
}

TEST(RobustMomentsTest, AfterOneSpikeRhoIsBackAtOnceWhereThePublishedRuleNeedsThousandsOfSteps) {
  Unit unit = robust();
  Unit published{StabilizerOptions{}};
  unit.after(3000, 1.0).rho(1e3);
  published.after(3000, 1.0).rho(1e3);
  double smallest = 1.0;
  for (int step = 0; step < 5000; ++step) {
    smallest = std::fmin(smallest, unit.rho(1.0));
    const double suppressed = published.rho(1.0);
    if (step >= 20) {
      ASSERT_LT(suppressed, 0.5) << "the published rule is the negative control";
    }
  }
  EXPECT_GT(smallest, 0.99);
  EXPECT_NEAR(smallest, suppressed_stabilized_norm(StabilizerOptions::robust(), 1e3, 3000), 2e-4)
      << "the second moment has forgotten 2 % of its 0.4 % before the first moment has";
}

TEST(RobustMomentsTest, SpikesEveryTenStepsDoNotSuppressWhatIsBetweenThem) {
  Unit unit = robust();
  Unit published{StabilizerOptions{}};
  unit.after(1000, 1.0);
  published.after(1000, 1.0);
  for (int step = 1; step <= 2000; ++step) {
    const bool spike = step % 10 == 0;
    const double norm = spike ? 1e3 : 1.0;
    const double rho = unit.rho(norm);
    const double without = published.rho(norm);
    // Winsorized, every tenth norm counts 9 at most: the root of the second moment stays below sqrt(1.8), and
    // a longer mean of the winsorized norms above 1.
    ASSERT_GE(rho, 1.0 / std::sqrt(1.8)) << step;
    ASSERT_LE(rho, growth(3.0)) << step;
    if (step > 1000 && step % 10 == 9) {
      ASSERT_LT(without, 0.02);
    }
  }
}

TEST(RobustMomentsTest, ALastingChangeIsFollowedWithinThePatienceAndWithoutOvershoot) {
  for (const double kappa : {1.5, 3.0, 5.0}) {
    for (const double change : {3.1, 6.0, 10.0, 1e3, 1e9, 1e150, 0.15, 0.1, 1e-3, 1e-9, 1e-150}) {
      for (const int history : {1, 2, 5, 100, 3000}) {
        // After a short history the first winsorized norm weighs in the second moment too, and a norm that is
        // no longer far from it is followed in the ordinary way.
        const double root = std::sqrt((history + kappa * kappa) / (history + 1.0));
        if (change > 1.0 && change <= 1.1 * kappa * root) continue;
        const double fallen = std::sqrt((history + 7.0 * change * change) / (history + 7.0));
        if (change < 1.0 && change * kappa >= 0.9 * fallen) continue;
        Unit unit = robust(kappa);
        unit.after(history, 1.0);
        double largest = 0.0;
        for (int step = 1; step <= kRobustPatience; ++step) largest = std::fmax(largest, unit.rho(change));
        EXPECT_LE(largest, growth(kappa)) << kappa << " " << change << " " << history;
        // Rounding alone: the history has become one of constant norms.
        for (int step = 0; step < 100; ++step) {
          ASSERT_NEAR(unit.rho(change), 1.0, 1e-12)
              << kappa << " " << change << " " << history << " " << step;
        }
      }
    }
  }
}

TEST(RobustMomentsTest, AChangeThatRhoMayFollowIsFollowedAsByThePublishedRule) {
  Unit unit = robust();
  Unit published{StabilizerOptions{}};
  unit.after(1000, 1.0);
  published.after(1000, 1.0);
  for (int step = 0; step < 100; ++step) ASSERT_EQ(unit.rho(1.75), published.rho(1.75)) << step;
}

TEST(RobustMomentsTest,
     AChangeBetweenGrowthAndKappaIsAdoptedWhereThePublishedRuleOvershootsForAThousandSteps) {
  for (const double change : {1.9, 2.5, 2.99}) {
    Unit unit = robust();
    Unit published{StabilizerOptions{}};
    unit.after(3000, 1.0);
    published.after(3000, 1.0);
    for (int step = 1; step <= 2 * kRobustPatience; ++step) {
      ASSERT_LE(unit.rho(change), growth(3.0)) << change << " " << step;
      published.rho(change);
    }
    EXPECT_GT(published.rho(change), growth(3.0)) << "the negative control";
    for (int step = 0; step < 100; ++step) ASSERT_NEAR(unit.rho(change), 1.0, 1e-12) << change << " " << step;
  }
}

/// A trough of low norms, and the way back to the old level by a ramp. The trough is long enough to look like
/// a lasting change.
TEST(RobustMomentsTest, TheWayBackFromATroughDoesNotOvershoot) {
  std::vector<double> norms(300, 1.0);
  for (const double norm : {0.1, 0.06, 0.08, 0.05, 0.07, 0.09, 0.06, 0.08, 0.15, 0.3, 0.5, 0.7, 0.9})
    norms.push_back(norm);
  norms.insert(norms.end(), 200, 1.0);
  Unit unit = robust();
  double largest = 0.0;
  int above_a_fifth = 0;
  for (const double norm : norms) {
    const double rho = unit.rho(norm);
    largest = std::fmax(largest, rho);
    if (std::fabs(rho - 1.0) > 0.2) ++above_a_fifth;
  }
  // By an independent simulation of the rule.
  EXPECT_NEAR(largest, 1.474206314169321, 1e-12);
  EXPECT_LE(largest, growth(3.0));
  EXPECT_LT(above_a_fifth, 40) << "the level that was misjudged is soon corrected";
  EXPECT_NEAR(unit.rho(1.0), 1.0, 0.05);
}

TEST(RobustMomentsTest, AdoptingAChangeMakesTheHistoryAsShortAsTheRowUnlessMomentsAreUncorrected) {
  Unit unit = robust();
  unit.after(1000, 1.0).after(kRobustPatience, 50.0);
  EXPECT_EQ(unit.moments.step, kRobustPatience + 1);
  StabilizerOptions paper = StabilizerOptions::paper();
  paper.robust_kappa = 3.0;
  Unit uncorrected(paper);
  uncorrected.after(1000, 1.0).after(kRobustPatience, 50.0);
  EXPECT_EQ(uncorrected.moments.step, 1000 + kRobustPatience);
  // Either way a constant norm is stabilized to what its form makes of a constant norm.
  EXPECT_NEAR(unit.rho(50.0), 1.0, 1e-12);
  Unit steady(paper);
  EXPECT_NEAR(uncorrected.rho(50.0), steady.after(1000 + kRobustPatience, 1.0).rho(1.0), 1e-9);
}

TEST(RobustMomentsTest, TheSecondWinsorizedNormInARowDoesNotRaiseRhoFurther) {
  Unit unit = robust();
  unit.after(1000, 1.0);
  const double first = unit.rho(1e6);
  double before = first;
  for (int step = 2; step < kRobustPatience; ++step) {
    const double rho = unit.rho(1e6);
    EXPECT_LT(rho, before) << step;
    EXPECT_GE(rho, 0.99) << step;
    before = rho;
  }
}

TEST(RobustMomentsTest, OneStepBelowThePatienceIsABurstAndLeavesTheScale) {
  Unit unit = robust();
  unit.after(1000, 1.0).after(kRobustPatience - 1, 1e6);
  for (int step = 0; step < 100; ++step) EXPECT_NEAR(unit.rho(1.0), 1.0, 0.35) << step;
  EXPECT_NEAR(unit.rho(1.0), 1.0, 0.02);
  Unit lasting = robust();
  lasting.after(1000, 1.0).after(kRobustPatience, 1e6);
  // The mean keeps 1 - 0.4/(1 - 0.6^10) of itself, the second moment 9/10.
  EXPECT_NEAR(lasting.rho(1.0), 0.6300, 1e-4) << "the scale has moved to 1e6, so that 1 is small";
}

TEST(RobustMomentsTest, ATinyFirstNormDoesNotLockTheUnit) {
  for (const double first : {1e-300, 1e-20, 1e-3}) {
    Unit unit = robust();
    unit.rho(first);
    for (int step = 0; step < kRobustPatience; ++step) EXPECT_GT(unit.rho(1.0), 0.9) << first << " " << step;
    EXPECT_NEAR(unit.rho(1.0), 1.0, 1e-12) << first;
  }
}

TEST(RobustMomentsTest, TinyAndOrdinaryNormsTakingTurnsKeepAnOrdinaryRho) {
  Unit unit = robust();
  for (int step = 0; step < 3000; ++step) {
    const double rho = unit.rho(step % 2 ? 1.0 : 1e-12);
    ASSERT_GT(rho, 0.1) << step;
    ASSERT_LE(rho, growth(3.0)) << step;
  }
}

TEST(RobustMomentsTest, FluctuatingNormsAreFollowedLikeThePublishedOnes) {
  // Lognormal norms with a coefficient of variation of 0.5: one in some 200 is beyond three times the mean of
  // about two of its predecessors, so the two rules differ little on average.
  Unit unit = robust();
  Unit published{StabilizerOptions{}};
  double sum = 0.0;
  double published_sum = 0.0;
  std::uint64_t state = 1;
  const auto uniform = [&state] {
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (static_cast<double>(state >> 11) + 0.5) * 0x1p-53;
  };
  constexpr int kSteps = 100000;
  for (int step = 0; step < kSteps; ++step) {
    const double normal = std::sqrt(-2.0 * std::log(uniform())) * std::cos(6.283185307179586 * uniform());
    const double norm = std::exp(0.47238 * normal - 0.11157);
    sum += unit.rho(norm);
    published_sum += published.rho(norm);
  }
  EXPECT_NEAR(published_sum / kSteps, stationary_stabilized_norm(0.5), 0.01);
  EXPECT_NEAR(sum / kSteps, published_sum / kSteps, 0.02);
}

TEST(RobustMomentsTest, ResumingInsideAStreakMatchesTheUninterruptedRun) {
  for (const double norm : {1e5, 1e-5}) {
    for (int streak = 1; streak < kRobustPatience; ++streak) {
      Unit whole = robust();
      whole.after(50, 1.0).after(streak, norm);
      Unit resumed = robust();
      resumed.moments = whole.moments;  // plain data: copying it is checkpointing it
      EXPECT_EQ(whole.moments.streak, norm > 1.0 ? streak : -streak);
      EXPECT_EQ(whole.moments.streak_norm, norm);
      for (int step = 0; step < 20; ++step) ASSERT_EQ(whole.rho(norm * 1.1), resumed.rho(norm * 1.1));
    }
  }
}

TEST(RobustMomentsTest, AnOrdinaryNormEndsAStreak) {
  Unit unit = robust();
  unit.after(100, 1.0).after(5, 1e4).rho(1.0);
  EXPECT_EQ(unit.moments.streak, 0);
  EXPECT_EQ(unit.moments.streak_norm, 0.0);
  // A streak of the other side starts afresh.
  unit.after(3, 1e4).rho(1e-4);
  EXPECT_EQ(unit.moments.streak, -1);
  EXPECT_EQ(unit.moments.streak_norm, 1e-4);
}

TEST(RobustMomentsTest, TheNewScaleIsTheMostCautiousNormOfTheStreak) {
  Unit up = robust();
  up.after(100, 1.0);
  for (const double norm : {1e6, 500.0, 800.0, 1e9, 700.0, 600.0, 900.0, 1e5}) up.rho(norm);
  // The eighth entered a history of eight norms of 500 as three times that.
  const double history = 1.0 - std::pow(0.6, kRobustPatience);
  EXPECT_NEAR(up.moments.first, 0.6 * history * 500.0 + 0.4 * 1500.0, 1e-9);
  Unit down = robust();
  down.after(100, 1.0);
  for (const double norm : {1e-6, 1e-3, 2e-4, 1e-9, 3e-4, 4e-4, 5e-4, 1e-5}) down.rho(norm);
  EXPECT_NEAR(down.moments.first, 0.6 * history * 1e-3 + 0.4 * 1e-5, 1e-15);
}

TEST(RobustMomentsTest, WorksBeyondTheRangeOfSquares) {
  for (const int exponent : {900, -900}) {
    Unit ordinary = robust();
    Unit scaled = robust();
    for (int step = 0; step < 60; ++step) {
      const double norm = step % 13 == 12 ? 1e4 : step > 40 ? 50.0 : 1.0 + step % 3;
      ASSERT_EQ(ordinary.rho(norm), scaled.rho(std::ldexp(norm, exponent))) << exponent << " " << step;
    }
  }
}

}  // namespace
}  // namespace gradstab
