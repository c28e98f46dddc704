#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "gradstab/transforms.hpp"
#include "support/gradients.hpp"

namespace gradstab {
namespace {

using testing::Gradients;
using testing::Values;

class ClipByGlobalNormTest : public ::testing::Test {
 protected:
  StepReport run(GradientTransform& transform, const std::vector<Values>& values) {
    gradients_.set_all(values);
    return transform.update(gradients_.refs()).value();
  }
  GradientTransform made(GlobalNormOptions options) {
    GradientTransform transform = clip_by_global_norm(options);
    EXPECT_TRUE(transform.init(parameters_).ok());
    return transform;
  }

  const ParameterSet parameters_ = testing::parameter_set_of_sizes({{2}, {1}});
  Gradients gradients_{parameters_, DType::float64};
};

TEST_F(ClipByGlobalNormTest, ScalesAllTensorsByOneFactor) {
  GradientTransform transform = made({.max_norm = 2.0});
  const StepReport report = run(transform, {{3, 4}, {12}});
  EXPECT_EQ(report.raw_global_norm, 13.0);
  const double factor = 2.0 / (13.0 + 1e-6);
  EXPECT_EQ(report.tensors[0].factor, factor);
  EXPECT_EQ(report.tensors[1].factor, factor);
  EXPECT_EQ(gradients_.values(1), Values{12.0 * factor});
  EXPECT_NEAR(report.global_norm, 13.0 * factor, 1e-15);
}

TEST_F(ClipByGlobalNormTest, LeavesSmallGradientsBitForBit) {
  GradientTransform transform = made({.max_norm = 2.0});
  gradients_.set_all({{0.1, 0.2}, {0.3}});
  const auto before = gradients_.bytes(0);
  EXPECT_TRUE(transform.update(gradients_.refs()).ok());
  EXPECT_EQ(gradients_.bytes(0), before);
}

TEST_F(ClipByGlobalNormTest, TheInfinityNormIsTheLargestEntryOfAll) {
  GradientTransform transform = made(GlobalNormOptions::largest_entry(2.0));
  const StepReport report = run(transform, {{3, -8}, {7.5}});
  EXPECT_EQ(report.tensors[1].factor, 2.0 / (8.0 + 1e-6));
}

TEST_F(ClipByGlobalNormTest, PNormsAreThoseOfTheirFormula) {
  for (const double p : {1.0, 1.5, 3.0, 10.0}) {
    GradientTransform transform = made({.max_norm = 2.0, .p = p});
    const StepReport report = run(transform, {{3, -8}, {7.5}});
    const double norm = std::pow(std::pow(3.0, p) + std::pow(8.0, p) + std::pow(7.5, p), 1.0 / p);
    EXPECT_NEAR(report.tensors[0].factor, 2.0 / (norm + 1e-6), 1e-15) << p;
    EXPECT_EQ(report.raw_global_norm, std::sqrt(9 + 64 + 56.25)) << "the report's norms stay Euclidean";
  }
  GradientTransform infinite = made({.max_norm = 2.0, .p = std::numeric_limits<double>::infinity()});
  EXPECT_EQ(run(infinite, {{3, -8}, {7.5}}).tensors[1].factor, 2.0 / (8.0 + 1e-6));
}

TEST_F(ClipByGlobalNormTest, PNormsOfTheLargestAndSmallestNumbersDoNotOverflow) {
  for (const double size : {1e-300, 1e-100, 1e100, 1e300}) {
    GradientTransform transform = chain(clip_by_global_norm({.max_norm = size, .p = 3.0}));
    ASSERT_TRUE(transform.init(parameters_).ok());
    const StepReport report = run(transform, {{size, -size}, {2.0 * size}});
    const double factor = size / (std::cbrt(10.0) * size + 1e-6);
    EXPECT_NEAR(report.tensors[0].factor, factor, 1e-14 * factor) << size;
  }
}

TEST_F(ClipByGlobalNormTest, EachLinkOfAChainHasThePNormItAsksForOfWhatReachesIt) {
  GradientTransform transform = chain(clip_by_global_norm({.max_norm = 10.0, .p = 3.0}), scale_by(2.0),
                                      clip_by_global_norm({.max_norm = 1.0, .p = 1.0}));
  ASSERT_TRUE(transform.init(parameters_).ok());
  const StepReport report = run(transform, {{3, -4}, {5}});  // 3, 4, 5: their cubes add up to 6^3
  EXPECT_NEAR(report.tensors[0].factor, 2.0 / (24.0 + 1e-6), 1e-15);
}

/// The settings of a state that earlier versions wrote are those of today, unless a p-norm is asked for.
TEST_F(ClipByGlobalNormTest, StatesOfAnotherNormAreRefused) {
  GradientTransform euclidean = made({.max_norm = 2.0});
  GradientTransform cubic = made({.max_norm = 2.0, .p = 3.0});
  GradientTransform largest = made(GlobalNormOptions::largest_entry(2.0));
  GradientTransform infinite = made({.max_norm = 2.0, .p = std::numeric_limits<double>::infinity()});
  EXPECT_TRUE(infinite.load(largest.save().value()).ok());
  EXPECT_EQ(largest.load(euclidean.save().value()).message(),
            "clip_by_global_norm has max_abs = 1 here but max_abs = 0 in the saved state");
  EXPECT_EQ(cubic.load(euclidean.save().value()).message(),
            "state of 'clip_by_global_norm' has 2 settings, expected 3");
}

TEST_F(ClipByGlobalNormTest, AbsentTensorsDoNotCount) {
  for (const bool max_abs : {false, true}) {
    GradientTransform transform = made({.max_norm = 1.0, .p = max_abs ? kUnbounded : 2.0});
    gradients_.set_all({{0, 2}, {100}});
    gradients_.set_absent(1);
    const auto report = transform.update(gradients_.refs());
    ASSERT_TRUE(report.ok());
    EXPECT_EQ(report->tensors[0].factor, 1.0 / (2.0 + 1e-6));
    EXPECT_EQ(report->tensors[1].factor, 1.0);
  }
}

TEST_F(ClipByGlobalNormTest, NormsBeyondTheRangeOfSquaresAddUp) {
  GradientTransform transform = made({.max_norm = 1.0});
  const StepReport report = run(transform, {{3e200, 0}, {4e200}});
  EXPECT_NEAR(report.raw_global_norm / 5e200, 1.0, 1e-15);
  EXPECT_NEAR(gradients_.values(0)[0], 0.6, 1e-15);
}

/// As in PyTorch the factor is then NaN; the one NaN may be in any block, before or after larger elements.
TEST(ClipByGlobalNormBlocksTest, PassThroughOfNaNMakesEveryGradientNaNByEitherNorm) {
  const ParameterSet parameters = testing::parameter_set_of_sizes({{2}, {200000}});
  for (const bool max_abs : {false, true}) {
    for (const std::size_t position : {0u, 65535u, 65536u, 199999u}) {
      GradientTransform transform = clip_by_global_norm({.max_norm = 1.0, .p = max_abs ? kUnbounded : 2.0});
      ASSERT_TRUE(transform.init(parameters, {.nonfinite = NonFinitePolicy::pass_through}).ok());
      Gradients gradients(parameters, DType::float32);
      Values values(200000, 3.0);
      values[position] = std::nan("");
      gradients.set_all({{1, 2}, values});
      const auto report = transform.update(gradients.refs());
      ASSERT_TRUE(report.ok());
      EXPECT_TRUE(std::isnan(report->tensors[0].factor)) << position;
      EXPECT_TRUE(std::isnan(gradients.values(0)[1])) << position;
    }
  }
}

/// More than one batch of the step plan: nothing may be scaled before all has been measured.
TEST(ClipByGlobalNormBlocksTest, TensorsBeyondABatchShareOneFactor) {
  const ParameterSet parameters = testing::parameter_set_of_sizes({{400000}, {3}, {400000}, {1}});
  for (const bool max_abs : {false, true}) {
    GradientTransform transform = clip_by_global_norm({.max_norm = 1.0, .p = max_abs ? kUnbounded : 2.0});
    ASSERT_TRUE(transform.init(parameters).ok());
    Gradients gradients(parameters, DType::float32);
    gradients.set_all({Values(400000, 0.5), {6, 8, 0}, Values(400000, 0.5), {-20}});
    const auto report = transform.update(gradients.refs());
    ASSERT_TRUE(report.ok());
    const double norm = max_abs ? 20.0 : std::sqrt(200000.0 + 100.0 + 400.0);
    for (const TensorReport& tensor : report->tensors) EXPECT_NEAR(tensor.factor, 1.0 / (norm + 1e-6), 1e-14);
  }
}

TEST_F(ClipByGlobalNormTest, InAChainItSeesTheNormsAfterTheLinksBeforeIt) {
  GradientTransform transform = chain(stabilize(), clip_by_global_norm(1.0));
  ASSERT_TRUE(transform.init(parameters_).ok());
  EXPECT_EQ(transform.name(), "chain(stabilize, clip_by_global_norm)");
  // The first step stabilizes both norms to 1, so the clip sees sqrt(2).
  const StepReport report = run(transform, {{300, 400}, {1e-3}});
  const double factor = 1.0 / (std::sqrt(2.0) + 1e-6);
  EXPECT_NEAR(report.tensors[0].norm(), factor, 1e-14);
  EXPECT_NEAR(report.tensors[1].norm(), factor, 1e-14);
  EXPECT_NEAR(gradients_.values(0)[1], 0.8 * factor, 1e-14);
}

TEST_F(ClipByGlobalNormTest, AChainOfOneIsThatLinkAndAChainOfNoneChangesNothing) {
  EXPECT_EQ(chain(stabilize()).name(), "stabilize");
  GradientTransform nothing = chain();
  EXPECT_EQ(nothing.name(), "chain()");
  ASSERT_TRUE(nothing.init(parameters_).ok());
  const StepReport report = run(nothing, {{3, 4}, {12}});
  EXPECT_EQ(report.global_norm, 13.0);
  EXPECT_EQ(gradients_.values(0), (Values{3, 4}));
}

}  // namespace
}  // namespace gradstab
