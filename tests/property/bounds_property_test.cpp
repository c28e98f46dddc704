// The theorems about rho, over random settings and random and adversarial norms. Numbering follows the paper.
#include <cmath>
#include <random>
#include <vector>

#include "gradstab/bounds.hpp"
#include "gradstab/decide.hpp"
#include "property/generators.hpp"
#include "property/property.hpp"

namespace gradstab {
namespace {

using testing::norm_sequence;
using testing::rounding_slack;

/// One unit that is fed norms, skipping zeros as every transform does.
struct Unit {
  explicit Unit(const StabilizerOptions& with) : options(with) {}

  double rho(double norm) {
    return decide(options, bias_correction_at(options, moments.step + 1), moments, norm).stabilized_norm;
  }

  StabilizerOptions options;
  NormMoments moments;
};

GRADSTAB_PROPERTY(BoundsPropertyTest, Lemma36TheUniformBoundHoldsAtEveryStepInThePaperForm) {
  const StabilizerOptions options = *testing::paper_options();
  const auto sequence = *norm_sequence(options, 400);
  const double bound = uniform_bound(options);
  Unit unit(options);
  for (const double norm : sequence.norms) {
    if (norm == 0.0) continue;
    const double rho = unit.rho(norm);
    RC_ASSERT(std::isfinite(rho));
    RC_ASSERT(rho <= bound * (1.0 + rounding_slack(options, unit.moments.step)));
  }
}

GRADSTAB_PROPERTY(BoundsPropertyTest, TheBoundOfEachStepHoldsInBothFormsWithAndWithoutAUniformBound) {
  const StabilizerOptions options = *testing::options_without_uniform_bound();
  const auto sequence = *norm_sequence(options, 400);
  Unit unit(options);
  for (const double norm : sequence.norms) {
    if (norm == 0.0) continue;
    const double rho = unit.rho(norm);
    const double bound = step_bound(options, unit.moments.step);
    RC_ASSERT(std::isfinite(rho));
    RC_ASSERT(rho <= bound * (1.0 + rounding_slack(options, unit.moments.step)));
  }
}

GRADSTAB_PROPERTY(BoundsPropertyTest, TheWorstCaseNormsReachTheBoundOfEveryStep) {
  const StabilizerOptions options = *testing::options_without_uniform_bound();
  RC_PRE(options.gamma1 > 0.0);
  Unit unit(options);
  for (std::int64_t step = 1; step <= 300; ++step) {
    const double norm = worst_case_norm(options, step);
    const double bound = step_bound(options, step);
    if (norm > 1e300 || bound / norm > 1e300) break;  // the norm or the factor leaves the range of a double
    RC_ASSERT(std::fabs(unit.rho(norm) / bound - 1.0) <= rounding_slack(options, step));
  }
}

GRADSTAB_PROPERTY(BoundsPropertyTest, Lemma34BoundsTheSpikeStepByItsRatioToTheFirstMoment) {
  const StabilizerOptions options = *testing::paper_options();
  const auto sequence = *norm_sequence(options, 200, 1e200);
  std::mt19937_64 random = testing::random_engine();
  Unit unit(options);
  for (const double norm : sequence.norms) {
    if (norm != 0.0) unit.rho(norm);
  }
  RC_PRE(unit.moments.step > 0);
  const double first = std::ldexp(unit.moments.first, unit.moments.exponent);
  for (int trial = 0; trial < 20; ++trial) {
    const double ratio = std::pow(10.0, std::uniform_real_distribution<double>(-2.0, 9.0)(random));
    const double norm = ratio * first * std::uniform_real_distribution<double>(1.0, 2.0)(random);
    if (norm == 0.0) continue;
    Unit copy = unit;
    RC_ASSERT(copy.rho(norm) <=
              spike_bound(options, ratio) * (1.0 + rounding_slack(options, copy.moments.step)));
  }
}

GRADSTAB_PROPERTY(BoundsPropertyTest, ScalingTheHistoryByAPowerOfTwoChangesNoBitOfRho) {
  StabilizerOptions options = *testing::options();
  const auto sequence = *norm_sequence(options, 200, 1e100);
  const int exponent = *rc::gen::inRange(-600, 600);
  Unit unit(options);
  Unit scaled(options);
  for (const double norm : sequence.norms) {
    if (norm != 0.0) RC_ASSERT(unit.rho(norm) == scaled.rho(std::ldexp(norm, exponent)));
  }
}

/// With robust moments, mostly tighter than what the worst-case norms need.
StabilizerOptions robust_options() {
  StabilizerOptions options = *testing::options();
  std::mt19937_64 random = testing::random_engine();
  options.robust_kappa = 1.0 + std::pow(10.0, std::uniform_real_distribution<double>(-2.0, 2.0)(random));
  return options;
}

/// The recursion of the robust bound passes errors on with a factor of at most 1. The weights 1 - gamma^t, in
/// the rule as in the bound, have a relative error of up to 2^-53 / (1 - gamma).
double robust_slack(const StabilizerOptions& options, std::int64_t steps) {
  return 8.0 * (rounding_slack(options, steps) + 0x1p-52 / (1.0 - options.gamma1) +
                0x1p-52 / (1.0 - options.gamma2));
}

GRADSTAB_PROPERTY(BoundsPropertyTest, WithRobustMomentsTheBoundOfEachStepAndTheUniformBoundHold) {
  const StabilizerOptions options = robust_options();
  const auto sequence = *norm_sequence(options, 400);
  Unit unit(options);
  const double uniform = uniform_bound(options);
  for (const double norm : sequence.norms) {
    if (norm == 0.0) continue;
    const double rho = unit.rho(norm);
    const std::int64_t step = unit.moments.step;
    RC_ASSERT(std::isfinite(rho));
    RC_ASSERT(rho <= step_bound(options, step) * (1.0 + robust_slack(options, step)));
    RC_ASSERT(rho <= uniform * (1.0 + robust_slack(options, step)));
  }
}

GRADSTAB_PROPERTY(BoundsPropertyTest, NormsThatRideTheRobustLimitStayBelowTheBoundOfEachStep) {
  // Always just inside the highest norm that is not winsorized, or just outside: the fastest rise that robust
  // moments allow.
  const StabilizerOptions options = robust_options();
  std::mt19937_64 random = testing::random_engine();
  Unit unit(options);
  unit.rho(1.0);
  for (int i = 0; i < 200; ++i) {
    const BiasCorrection correction = bias_correction_at(options, unit.moments.step + 1);
    const double highest = detail::robust_limits(options, correction, unit.moments).highest;
    const double norm = std::ldexp(highest, unit.moments.exponent) *
                        std::uniform_real_distribution<double>(0.99, 1.0003)(random);
    if (!(norm < 1e300)) break;
    const double rho = unit.rho(norm);
    RC_ASSERT(rho <=
              step_bound(options, unit.moments.step) * (1.0 + robust_slack(options, unit.moments.step)));
  }
}

/// Stretches of constant, noisy, rising and falling norms, troughs and bursts, one after the other.
std::vector<double> eventful_norms(std::mt19937_64& random) {
  const auto uniform = [&](double low, double high) {
    return std::uniform_real_distribution<double>(low, high)(random);
  };
  std::vector<double> norms;
  double level = 1.0;
  while (norms.size() < 600) {
    const double ramp = std::pow(10.0, uniform(-0.5, 0.5));
    const double noise = uniform(0.0, 1.5);
    const auto length = static_cast<std::size_t>(uniform(1.0, 60.0));
    const int kind = std::uniform_int_distribution<int>(0, 4)(random);
    for (std::size_t i = 0; i < length; ++i) {
      double norm = level;
      if (kind == 1) norm = level * std::exp(noise * std::normal_distribution<double>()(random));
      if (kind == 2 && i < 12) level *= ramp;                             // a ramp
      if (kind == 3 && i < 10) norm = level * std::pow(10.0, -noise);     // a trough
      if (kind == 4 && i < 10) norm = level * std::pow(10.0, 4 * noise);  // a burst
      norms.push_back(norm);
    }
    level = std::pow(10.0, std::fmax(-30.0, std::fmin(30.0, std::log10(level))));
  }
  return norms;
}

GRADSTAB_PROPERTY(BoundsPropertyTest, NoEventTakesRobustMomentsAboveGrowthInTheReleasedForm) {
  std::mt19937_64 random = testing::random_engine();
  StabilizerOptions options;
  options.robust_kappa = 1.0 + std::pow(10.0, std::uniform_real_distribution<double>(-1.0, 1.0)(random));
  const double growth = options.gamma1 + (1.0 - options.gamma1) * options.robust_kappa;
  Unit unit(options);
  for (const double norm : eventful_norms(random)) RC_ASSERT(unit.rho(norm) <= growth * (1.0 + 1e-12));
}

TEST(BoundsPropertyTest, TheSameEventsTakeThePublishedRuleFarAboveIt) {
  std::mt19937_64 random(1);
  Unit unit(StabilizerOptions{});
  double largest = 0.0;
  for (const double norm : eventful_norms(random)) largest = std::fmax(largest, unit.rho(norm));
  EXPECT_GT(largest, 3.0);
}

GRADSTAB_PROPERTY(BoundsPropertyTest, AfterASpikeRobustMomentsRecoverNoLaterThanTheClosedFormSays) {
  StabilizerOptions options = robust_options();
  options.bias_correction = true;
  const int history = *rc::gen::inRange(1, 2000);
  const double spike = std::pow(10.0, *rc::gen::inRange(0, 12));
  const double fraction = 0.5;
  Unit unit(options);
  for (int step = 0; step < history; ++step) unit.rho(1.0);
  unit.rho(spike);
  // What is left of the spike in the first moment raises rho.
  const std::int64_t steps = recovery_steps(options, spike, fraction, history);
  RC_PRE(steps < 50000);
  for (std::int64_t step = 1; step < steps; ++step) unit.rho(1.0);
  for (int step = 0; step < 20; ++step) {
    RC_ASSERT(unit.rho(1.0) >= fraction * (1.0 - rounding_slack(options, unit.moments.step)));
  }
}

/// Lognormal norms with mean 1 and this coefficient of variation.
class StationaryNorms {
 public:
  explicit StationaryNorms(double variation)
      : sigma_(std::sqrt(std::log1p(variation * variation))), normal_(-0.5 * sigma_ * sigma_, sigma_) {}
  double operator()(std::mt19937_64& random) { return std::exp(normal_(random)); }

 private:
  double sigma_;
  std::normal_distribution<double> normal_;
};

TEST(BoundsStatisticsTest, Lemma32GivesTheMeanOfRhoForStationaryNorms) {
  constexpr std::uint64_t kSeed = 1;
  constexpr int kBurnIn = 20000;  // gamma2^20000 = 2e-9
  constexpr int kSteps = 400000;
  std::printf("seed %llu\n", static_cast<unsigned long long>(kSeed));
  for (const double variation : {0.1, 0.5, 1.0}) {
    std::mt19937_64 random(kSeed);
    StationaryNorms norms(variation);
    const StabilizerOptions options;
    Unit unit(options);
    for (int i = 0; i < kBurnIn; ++i) unit.rho(norms(random));
    double sum = 0.0;
    double squares = 0.0;
    for (int i = 0; i < kSteps; ++i) {
      const double rho = unit.rho(norms(random));
      sum += rho;
      squares += rho * rho;
    }
    const double mean = sum / kSteps;
    const double deviation = std::sqrt(squares / kSteps - mean * mean);

    // The lemma replaces both averages by expectations. To second order in their fluctuations, for lognormal
    // norms with q = 1 + cv^2:  E rho = q^(-1/2) (1 + 3/8 Var(v)/E(v)^2 - 1/2 Cov(m, v)/(E(m) E(v))).
    const double q = 1.0 + variation * variation;
    const double g1 = options.gamma1;
    const double g2 = options.gamma2;
    const double of_v = 3.0 / 8.0 * (1.0 - g2) / (1.0 + g2) * (std::pow(q, 4) - 1.0);
    const double of_m_and_v = 0.5 * (1.0 - g1) * (1.0 - g2) / (1.0 - g1 * g2) * (q * q - 1.0);
    const double expected = stationary_stabilized_norm(variation) * (1.0 + of_v - of_m_and_v);
    // Five standard deviations of the mean: the averages over all steps of R and R^2 scatter by cv and
    // sqrt(q^4 - 1) over the root of the number of steps, the latter entering through a root.
    const double scatter = (variation + 0.5 * std::sqrt(std::pow(q, 4) - 1.0)) / std::sqrt(double{kSteps});
    EXPECT_NEAR(mean, expected, 5.0 * scatter) << "cv " << variation;
    // It is a mean: single steps scatter widely, because gamma1 = 0.6 remembers about 2.5 steps.
    if (variation == 0.5) {
      EXPECT_NEAR(deviation, 0.22, 0.02);
    }
    if (variation == 1.0) {
      EXPECT_NEAR(deviation, 0.35, 0.03);
    }
  }
}

TEST(BoundsStatisticsTest, Lemma34CannotBeTightened) {
  // A long quiet history, then a spike of exactly kappa times the first moment.
  const StabilizerOptions options = StabilizerOptions::paper();
  double largest = 0.0;
  for (const double ratio : {1e2, 1e4, 1e6, 1e8}) {
    Unit unit(options);
    unit.rho(1.0);
    const double first = unit.moments.first;
    largest = std::fmax(largest, unit.rho(ratio * first) / spike_bound(options, ratio));
  }
  EXPECT_GT(largest, 1.0 - 1e-9);
  EXPECT_LE(largest, 1.0 + rounding_slack(options, 2));
}

}  // namespace
}  // namespace gradstab
