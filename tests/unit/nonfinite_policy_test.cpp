// The four policies for NaN and Inf.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "gradstab/bounds.hpp"
#include "gradstab/decide.hpp"
#include "gradstab/transforms.hpp"
#include "support/gradients.hpp"
#include "support/saved_moments.hpp"

namespace gradstab {
namespace {

using testing::Gradients;
using testing::saved_moments;
using testing::Values;

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
constexpr double kInf = std::numeric_limits<double>::infinity();

class NonFinitePolicyTest : public ::testing::Test {
 protected:
  /// A transform with 30 steps of norm 5 for each of the three tensors behind it.
  GradientTransform warmed_up(NonFinitePolicy policy) {
    GradientTransform transform = stabilize();
    EXPECT_TRUE(transform.init(parameters_, {.nonfinite = policy}).ok());
    for (int step = 0; step < 30; ++step) {
      set_clean();
      EXPECT_TRUE(transform.update(gradients_.refs()).ok());
    }
    set_clean();
    return transform;
  }

  void set_clean() { gradients_.set_all({{3, 4}, {-5}, {0, 0, 5}}); }

  /// A clean spike of 1000 times the norm must come out as if the bad step had never been.
  void expect_spike_is_stabilized(GradientTransform& transform, std::int64_t norms_before) {
    gradients_.set_all({{3000, 4000}, {-5000}, {0, 0, 5000}});
    const auto report = transform.update(gradients_.refs());
    ASSERT_TRUE(report.ok());
    EXPECT_EQ(report->spikes, 3u);
    NormMoments history;
    for (std::int64_t k = 1; k <= norms_before; ++k) decide({}, bias_correction_at({}, k), history, 5.0);
    const Decision expected = decide({}, bias_correction_at({}, norms_before + 1), history, 5000.0);
    for (std::size_t t = 0; t < 3; ++t) {
      EXPECT_NEAR(testing::norm_of(gradients_.values(t)), expected.stabilized_norm, 1e-6) << t;
      EXPECT_LE(testing::norm_of(gradients_.values(t)), step_bound({}, norms_before + 1) * (1 + 1e-6)) << t;
    }
  }

  const ParameterSet parameters_ = testing::parameter_set({{"a", {2}}, {"b", {1}}, {"c", {3}}});
  Gradients gradients_{parameters_, DType::float32};
};

TEST_F(NonFinitePolicyTest, SkipTensorZeroesItAndLeavesItsMomentsAlone) {
  for (const double bad : {kNaN, kInf, -kInf}) {
    GradientTransform transform = warmed_up(NonFinitePolicy::skip_tensor);
    const auto before = saved_moments(transform);
    gradients_.set(1, Values{bad});
    const auto report = transform.update(gradients_.refs());
    ASSERT_TRUE(report.ok());
    EXPECT_EQ(report->nonfinite, 1u);
    EXPECT_FALSE(report->skip_step);
    EXPECT_FALSE(report->tensors[1].finite);
    EXPECT_TRUE(report->tensors[1].zeroed);
    EXPECT_EQ(report->tensors[1].norm(), 0.0);
    EXPECT_EQ(gradients_.values(1), Values{0.0});
    // The others go on.
    EXPECT_NEAR(testing::norm_of(gradients_.values(0)), 1.0, 1e-6);
    const auto after = saved_moments(transform);
    EXPECT_EQ(after[0].step, 31);
    NormMoments expected = before[1];
    expected.nonfinite += 1;
    EXPECT_EQ(after[1], expected);

    set_clean();
    ASSERT_TRUE(transform.update(gradients_.refs()).ok());
    EXPECT_NEAR(testing::norm_of(gradients_.values(1)), 1.0, 1e-6);
  }
}

TEST_F(NonFinitePolicyTest, AfterSkippedTensorsASpikeIsStillStabilized) {
  GradientTransform transform = warmed_up(NonFinitePolicy::skip_tensor);
  gradients_.set_all({{kNaN, 1}, {kInf}, {1, -kInf, kNaN}});
  const auto report = transform.update(gradients_.refs());
  ASSERT_TRUE(report.ok());
  EXPECT_EQ(report->nonfinite, 3u);
  EXPECT_EQ(report->global_norm, 0.0);
  for (std::size_t t = 0; t < 3; ++t) {
    for (const double value : gradients_.values(t)) EXPECT_EQ(value, 0.0);
  }
  expect_spike_is_stabilized(transform, 30);
}

TEST_F(NonFinitePolicyTest, SkipStepChangesNothingAndAsksForTheVeto) {
  GradientTransform transform = warmed_up(NonFinitePolicy::skip_step);
  const auto state = transform.save().value();
  gradients_.set(2, Values{1, kNaN, 2});
  const auto before = gradients_.bytes(0);
  const auto bad_before = gradients_.bytes(2);
  const auto report = transform.update(gradients_.refs());
  ASSERT_TRUE(report.ok());
  EXPECT_TRUE(report->skip_step);
  EXPECT_EQ(report->nonfinite, 1u);
  EXPECT_EQ(report->step, 30);
  EXPECT_EQ(gradients_.bytes(0), before);
  EXPECT_EQ(gradients_.bytes(2), bad_before);
  EXPECT_EQ(transform.save().value(), state);
  expect_spike_is_stabilized(transform, 30);
}

TEST_F(NonFinitePolicyTest, RaiseChangesNothingAndNamesTheTensors) {
  GradientTransform transform = warmed_up(NonFinitePolicy::raise);
  const auto state = transform.save().value();
  gradients_.set(0, Values{kInf, 1});
  gradients_.set(2, Values{1, kNaN, 2});
  const auto before = gradients_.bytes(1);
  const auto report = transform.update(gradients_.refs(), 31);
  ASSERT_FALSE(report.ok());
  EXPECT_EQ(report.status().code(), StatusCode::non_finite);
  EXPECT_EQ(report.status().message(), "gradient holds NaN or Inf: 'a', 'c'");
  ASSERT_EQ(transform.report().tensors.size(), 3u);
  EXPECT_EQ(transform.report().nonfinite, 2u);
  EXPECT_FALSE(transform.report().tensors[0].finite);
  EXPECT_TRUE(transform.report().tensors[1].finite);
  EXPECT_FALSE(transform.report().tensors[2].finite);
  EXPECT_EQ(transform.report().global_norm, transform.report().raw_global_norm) << "nothing was scaled";
  EXPECT_EQ(transform.report().step, 30);
  EXPECT_EQ(gradients_.bytes(1), before);
  EXPECT_EQ(transform.save().value(), state);
  expect_spike_is_stabilized(transform, 30);
}

TEST_F(NonFinitePolicyTest, RaiseNamesFiveAndCountsTheRest) {
  const ParameterSet parameters = testing::parameter_set_of_sizes({{1}, {1}, {1}, {1}, {1}, {1}, {1}});
  GradientTransform transform = stabilize();
  ASSERT_TRUE(transform.init(parameters, {.nonfinite = NonFinitePolicy::raise}).ok());
  Gradients gradients(parameters, DType::float64);
  for (std::size_t t = 0; t < 7; ++t) gradients.set(t, Values{kNaN});
  EXPECT_EQ(transform.update(gradients.refs()).status().message(),
            "gradient holds NaN or Inf: 't0', 't1', 't2', 't3', 't4' and 2 more");
}

TEST_F(NonFinitePolicyTest, PassThroughLeavesTheGradientAndItsMoments) {
  GradientTransform transform = warmed_up(NonFinitePolicy::pass_through);
  const auto before = saved_moments(transform);
  gradients_.set(2, Values{1, kNaN, 2});
  const auto bytes = gradients_.bytes(2);
  const auto report = transform.update(gradients_.refs());
  ASSERT_TRUE(report.ok());
  EXPECT_EQ(report->nonfinite, 1u);
  EXPECT_FALSE(report->tensors[2].zeroed);
  EXPECT_EQ(gradients_.bytes(2), bytes);
  NormMoments expected = before[2];
  expected.nonfinite += 1;
  EXPECT_EQ(saved_moments(transform)[2], expected);
  gradients_.set(2, Values{0, 0, 5});
  ASSERT_TRUE(transform.update(gradients_.refs()).ok());
  EXPECT_NEAR(testing::norm_of(gradients_.values(2)), 1.0, 1e-6);
}

/// As in PyTorch a clip then multiplies every gradient by NaN; the moments behind it must survive that.
TEST_F(NonFinitePolicyTest, PassThroughOfAClippedNaNReachesNoMoments) {
  for (const Granularity granularity : {Granularity::tensor, Granularity::row, Granularity::model}) {
    GradientTransform transform =
        chain(clip_by_global_norm(1.0), stabilize({}, {.granularity = granularity}));
    ASSERT_TRUE(transform.init(parameters_, {.nonfinite = NonFinitePolicy::pass_through}).ok());
    set_clean();
    ASSERT_TRUE(transform.update(gradients_.refs()).ok());
    for (const double bad : {kNaN, kInf}) {
      gradients_.set_all({{3, 4}, {bad}, {0, 0, 5}});
      ASSERT_TRUE(transform.update(gradients_.refs()).ok());
      EXPECT_EQ(std::isnan(gradients_.values(0)[0]), std::isnan(bad)) << "an infinite norm clips to zero";
    }
    const auto state = transform.save().value();
    ASSERT_TRUE(transform.load(state).ok()) << "the moments are still those of finite norms";
    set_clean();
    const auto report = transform.update(gradients_.refs());
    ASSERT_TRUE(report.ok());
    EXPECT_TRUE(std::isfinite(report->global_norm)) << to_string(granularity);
    EXPECT_GT(report->global_norm, 0.1);
  }
}

TEST_F(NonFinitePolicyTest, ClippingLeavesSkippedTensorsOutOfTheGlobalNorm) {
  GradientTransform transform = clip_by_global_norm(1.0);
  ASSERT_TRUE(transform.init(parameters_).ok());
  gradients_.set_all({{3, 4}, {kInf}, {0, 0, kNaN}});
  const auto report = transform.update(gradients_.refs());
  ASSERT_TRUE(report.ok());
  EXPECT_EQ(report->raw_global_norm, 5.0);
  EXPECT_NEAR(testing::norm_of(gradients_.values(0)), 1.0, 1e-6);
  EXPECT_EQ(gradients_.values(1), Values{0.0});

  GradientTransform by_largest = clip_by_global_norm(GlobalNormOptions::largest_entry(1.0));
  ASSERT_TRUE(by_largest.init(parameters_).ok());
  gradients_.set_all({{3, 4}, {kInf}, {0, 0, kNaN}});
  ASSERT_TRUE(by_largest.update(gradients_.refs()).ok());
  EXPECT_NEAR(gradients_.values(0)[1], 1.0, 1e-6);
}

TEST_F(NonFinitePolicyTest, EveryPolicyFindsOneBadElementAmongManyBlocks) {
  const ParameterSet parameters = testing::parameter_set_of_sizes({{200001}});
  for (const std::size_t position : {0u, 65535u, 65536u, 200000u}) {
    for (const double bad : {kNaN, kInf}) {
      GradientTransform transform = stabilize();
      ASSERT_TRUE(transform.init(parameters, {.nonfinite = NonFinitePolicy::raise}).ok());
      Gradients gradients(parameters, DType::bfloat16);
      Values values(200001, 1.0);
      values[position] = bad;
      gradients.set(0, values);
      EXPECT_EQ(transform.update(gradients.refs()).status().code(), StatusCode::non_finite) << position;
    }
  }
}

}  // namespace
}  // namespace gradstab
