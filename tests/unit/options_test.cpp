#include "gradstab/options.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "gradstab/transforms.hpp"

namespace gradstab {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
constexpr double kInf = std::numeric_limits<double>::infinity();

std::string message(StabilizerOptions options) {
  const Status status = options.validate();
  EXPECT_EQ(status.code(), status.ok() ? StatusCode::ok : StatusCode::invalid_argument);
  return status.message();
}

TEST(OptionsTest, PresetsAreThePaperAndTheReleasedCode) {
  const StabilizerOptions defaults;
  EXPECT_EQ(defaults.gamma1, 0.6);
  EXPECT_EQ(defaults.gamma2, 0.999);
  EXPECT_EQ(defaults.epsilon, 0.0);
  EXPECT_TRUE(defaults.bias_correction);
  EXPECT_FALSE(StabilizerOptions::paper().bias_correction);
  EXPECT_EQ(StabilizerOptions::paper().epsilon, 0.0);
  EXPECT_TRUE(StabilizerOptions::released().bias_correction);
  EXPECT_EQ(StabilizerOptions::released().epsilon, 1e-12);
  for (const StabilizerOptions& published :
       {defaults, StabilizerOptions::paper(), StabilizerOptions::released()})
    EXPECT_EQ(published.robust_kappa, 0.0);
  EXPECT_EQ(StabilizerOptions::robust().robust_kappa, 3.0);
}

TEST(OptionsTest, EverySettingOutOfRangeIsNamedWithItsValueAndRange) {
  EXPECT_EQ(message({.gamma1 = 1.0}), "gamma1 must be in [0, 1), got 1");
  EXPECT_EQ(message({.gamma1 = -0.25}), "gamma1 must be in [0, 1), got -0.25");
  EXPECT_EQ(message({.gamma2 = 1.5}), "gamma2 must be in [0, 1), got 1.5");
  EXPECT_EQ(message({.epsilon = -1e-8}), "epsilon must be finite and at least 0, got -1e-08");
  EXPECT_EQ(message({.epsilon = kInf}), "epsilon must be finite and at least 0, got inf");
  EXPECT_EQ(message({.spike_ratio = 0.0}), "spike_ratio must be above 0, got 0");
  EXPECT_EQ(message({.robust_kappa = 1.0}), "robust_kappa must be 0 (off) or finite and above 1, got 1");
  EXPECT_EQ(message({.robust_kappa = -3.0}), "robust_kappa must be 0 (off) or finite and above 1, got -3");
  EXPECT_EQ(message({.robust_kappa = kInf}), "robust_kappa must be 0 (off) or finite and above 1, got inf");
}

TEST(OptionsTest, NaNIsOutOfEveryRange) {
  EXPECT_EQ(message({.gamma1 = kNaN}), "gamma1 must be in [0, 1), got nan");
  EXPECT_EQ(message({.gamma2 = kNaN}), "gamma2 must be in [0, 1), got nan");
  EXPECT_EQ(message({.epsilon = kNaN}), "epsilon must be finite and at least 0, got nan");
  EXPECT_EQ(message({.spike_ratio = kNaN}), "spike_ratio must be above 0, got nan");
  EXPECT_EQ(message({.robust_kappa = kNaN}), "robust_kappa must be 0 (off) or finite and above 1, got nan");
}

TEST(OptionsTest, EndsOfTheRangesAreValid) {
  EXPECT_EQ(message({.gamma1 = 0.0, .gamma2 = 0.0, .epsilon = 0.0}), "");
  EXPECT_EQ(message({.gamma1 = std::nextafter(1.0, 0.0), .gamma2 = std::nextafter(1.0, 0.0)}), "");
  EXPECT_EQ(message({.spike_ratio = kInf}), "") << "never flags";
}

TEST(OptionsTest, AnInvalidSettingOfAnyLinkIsReportedByInit) {
  GradientTransform broken = chain(clip_by_global_norm(1.0), stabilize({.gamma2 = 2.0}));
  const Status status = broken.init({});
  EXPECT_EQ(status.code(), StatusCode::invalid_argument);
  EXPECT_EQ(status.message(), "gamma2 must be in [0, 1), got 2");
  EXPECT_EQ(broken.validate().message(), status.message()) << "and, before that, by validate";
  EXPECT_TRUE(chain(clip_by_global_norm(1.0), stabilize()).validate().ok());

  for (const double limit : {0.0, -1.0, kNaN, kInf}) {
    EXPECT_EQ(clip_by_global_norm(limit).init({}).code(), StatusCode::invalid_argument) << limit;
  }
  EXPECT_EQ(clip_by_global_norm(-1.0).init({}).message(), "max_norm must be finite and above 0, got -1");
  EXPECT_EQ(record_norms(-2.0).init({}).message(), "spike_ratio must be above 0, got -2");
}

TEST(OptionsTest, AChainWithATransformThatWasMovedFromIsReportedByInit) {
  GradientTransform source = stabilize();
  const GradientTransform taken = std::move(source);
  std::vector<GradientTransform> links;
  links.push_back(std::move(source));  // NOLINT(bugprone-use-after-move): the mistake under test
  EXPECT_EQ(chain_of(std::move(links)).init({}).message(),
            "chain was given a transform that had been moved from");
}

}  // namespace
}  // namespace gradstab
