// What each method of clipping.hpp does where its definition is easy to get wrong, in numbers that can be
// read off the definition.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "gradstab/transforms.hpp"
#include "support/gradients.hpp"
#include "support/saved_state.hpp"

namespace gradstab {
namespace {

using testing::Gradients;
using testing::saved_numbers;
using testing::Values;

constexpr double kInf = std::numeric_limits<double>::infinity();

/// One tensor of one element, whose norm is its size.
class OneNumber {
 public:
  explicit OneNumber(GradientTransform transform) : transform_(std::move(transform)) {
    transform_.init(gradients_set_).check();
  }
  double operator()(double value) {
    gradients_.set(0, Values{value});
    report_ = transform_.update(gradients_.refs()).value();
    return gradients_.values(0)[0];
  }
  bool spike() const { return report_.spikes > 0; }
  double saved(std::string_view name) const { return saved_numbers(transform_, name).at(0); }

 private:
  const ParameterSet gradients_set_ = testing::parameter_set_of_sizes({{1}});
  Gradients gradients_{gradients_set_, DType::float64};
  GradientTransform transform_;
  StepReport report_;
};

TEST(ZClipTest, TheWarmUpClipsByNormAndItsLastStepIsStillOne) {
  OneNumber clip(zclip({.warmup_steps = 3}));
  EXPECT_EQ(clip(4.0), 4.0 * (1.0 / (4.0 + 1e-6)));
  EXPECT_EQ(clip(0.5), 0.5);
  EXPECT_EQ(clip(-6.0), -6.0 * (1.0 / (6.0 + 1e-6)));
  EXPECT_EQ(clip.saved("collected"), 3);
  EXPECT_NEAR(clip.saved("mean"), 3.5, 1e-15);
  EXPECT_NEAR(clip.saved("var"), (0.25 + 9.0 + 6.25) / 3.0, 1e-14) << "the variance of the three norms";
}

TEST(ZClipTest, ASpikeIsClippedBelowTheThresholdTheMoreTheHigherItIs) {
  const auto after_warm_up = [](ZClipOptions options) {
    options.warmup_steps = 2;
    options.max_norm = kInf;
    OneNumber clip(zclip(options));
    clip(2.0);
    clip(4.0);  // mean 3, standard deviation 1
    return clip;
  };
  const double e = 1e-6;
  OneNumber adaptive = after_warm_up({});
  EXPECT_EQ(adaptive(5.5), 5.5) << "a z-score of 2.5 / (1 + epsilon) is none";
  EXPECT_FALSE(adaptive.spike());
  OneNumber higher = after_warm_up({});
  const double z = 7.0 / (1.0 + e);
  EXPECT_NEAR(higher(10.0), (3.0 + 6.25 / z) * 10.0 / (10.0 + e), 1e-14);
  EXPECT_TRUE(higher.spike());
  // The threshold, not the norm, entered: and the variance from the new mean.
  const double threshold = 3.0 + 6.25 / z;
  const double mean = 0.97 * 3.0 + 0.03 * threshold;
  EXPECT_NEAR(higher.saved("mean"), mean, 1e-15);
  EXPECT_NEAR(higher.saved("var"), 0.97 + 0.03 * (threshold - mean) * (threshold - mean), 1e-15);

  EXPECT_NEAR(after_warm_up({.target = ZClipTarget::mean})(10.0), 3.0 * 10.0 / (10.0 + e), 1e-14);
  EXPECT_NEAR(after_warm_up({.mode = ZClipMode::percentile})(10.0), 5.5 * 10.0 / (10.0 + e), 1e-14);
  EXPECT_NEAR(after_warm_up({.clip_factor = 0.5})(10.0), 0.5 * threshold * 10.0 / (10.0 + e), 1e-14);
  OneNumber skipping = after_warm_up({.skip_update_on_spike = true});
  skipping(10.0);
  EXPECT_EQ(skipping.saved("mean"), 3.0);
}

TEST(ZClipTest, OneTensorWithNaNLeavesTheStatisticsAloneAndTheOthersClipped) {
  const ParameterSet parameters = testing::parameter_set_of_sizes({{1}, {1}});
  for (const NonFinitePolicy policy : {NonFinitePolicy::skip_tensor, NonFinitePolicy::pass_through}) {
    GradientTransform transform = zclip({.max_norm = kInf, .warmup_steps = 2});
    ASSERT_TRUE(transform.init(parameters, {.nonfinite = policy}).ok());
    Gradients gradients(parameters, DType::float64);
    for (const double size : {2.0, 4.0}) {
      gradients.set_all({{size}, {0.0}});
      ASSERT_TRUE(transform.update(gradients.refs()).ok());
    }
    const auto statistics = [&] {
      return std::pair(saved_numbers(transform, "mean"), saved_numbers(transform, "var"));
    };
    const auto before = statistics();
    gradients.set_all({{100.0}, {std::nan("")}});
    ASSERT_TRUE(transform.update(gradients.refs()).ok());
    EXPECT_EQ(statistics(), before);
    EXPECT_LT(gradients.values(0)[0], 3.1);
    EXPECT_EQ(std::isnan(gradients.values(1)[0]), policy == NonFinitePolicy::pass_through);
  }
}

TEST(AdaGcTest, AfterTheWarmUpANormIsLimitedToAMultipleOfItsAverage) {
  OneNumber clip(adagc({.relative = 1.5, .absolute = 2.0, .beta = 0.75, .warmup_steps = 3, .epsilon = 0.0}));
  EXPECT_EQ(clip(1.0), 1.0);
  EXPECT_EQ(clip(8.0), 2.0) << "the warm-up clips to 2";
  EXPECT_EQ(clip(0.5), 0.5) << "which becomes the least norm";
  EXPECT_EQ(clip(-4.0), -0.75) << "1.5 times 0.5";
  EXPECT_EQ(clip.saved("step"), 4);
  EXPECT_EQ(clip.saved("gamma"), 0.75 * 0.5 + 0.25 * 0.75) << "the limit entered, not the norm";
}

TEST(AdaGcTest, TheWarmUpIsOfTheGlobalNormOrOfEachTensor) {
  const ParameterSet parameters = testing::parameter_set_of_sizes({{1}, {1}});
  for (const bool global : {true, false}) {
    GradientTransform transform =
        adagc({.absolute = 1.0, .warmup_steps = 5, .epsilon = 0.0, .global_warmup = global});
    ASSERT_TRUE(transform.init(parameters).ok());
    Gradients gradients(parameters, DType::float64);
    gradients.set_all({{3.0}, {4.0}});
    ASSERT_TRUE(transform.update(gradients.refs()).ok());
    EXPECT_NEAR(gradients.values(0)[0], global ? 0.6 : 1.0, 1e-15);
    EXPECT_NEAR(gradients.values(1)[0], global ? 0.8 : 1.0, 1e-15);
  }
}

/// A tensor that is first used after the warm-up (an expert, a rare embedding) starts with its own first
/// norm.
TEST(AdaGcTest, ATensorThatComesAfterTheWarmUpStartsWithItsFirstNorm) {
  const ParameterSet parameters = testing::parameter_set_of_sizes({{1}, {1}});
  GradientTransform transform = adagc({.relative = 1.5, .warmup_steps = 2, .epsilon = 0.0});
  ASSERT_TRUE(transform.init(parameters).ok());
  Gradients gradients(parameters, DType::float64);
  const auto step = [&](double late) {
    gradients.set_all({{0.5}, {late}});
    EXPECT_TRUE(transform.update(gradients.refs()).ok());
    return gradients.values(1)[0];
  };
  for (int i = 0; i < 4; ++i) EXPECT_EQ(step(0.0), 0.0);
  EXPECT_EQ(step(8.0), 1.0) << "at most lambda_abs";
  EXPECT_EQ(step(8.0), 1.5) << "then relative to it";
}

/// A norm that vanishes when the model is scaled down in the warm-up is none that should be the least for
/// ever.
TEST(AdaGcTest, ANormThatTheWarmUpScalesToNothingDoesNotCount) {
  const ParameterSet parameters = testing::parameter_set_of_sizes({{1}, {1}});
  GradientTransform transform = adagc({.warmup_steps = 1});
  ASSERT_TRUE(transform.init(parameters).ok());
  Gradients gradients(parameters, DType::float64);
  gradients.set_all({{1e10}, {5e-324}});
  ASSERT_TRUE(transform.update(gradients.refs()).ok());
  EXPECT_EQ(gradients.values(1)[0], 0.0);
  gradients.set_all({{1.0}, {0.5}});
  ASSERT_TRUE(transform.update(gradients.refs()).ok());
  EXPECT_EQ(gradients.values(1)[0], 0.5);
  EXPECT_TRUE(transform.load(transform.save().value()).ok());
}

TEST(AdaGcTest, OneAverageOfTheWholeModelScalesAllTensorsAlike) {
  const ParameterSet parameters = testing::parameter_set_of_sizes({{1}, {1}});
  GradientTransform transform =
      adagc({.relative = 2.0, .absolute = 10.0, .warmup_steps = 1, .epsilon = 0.0, .whole_model = true});
  ASSERT_TRUE(transform.init(parameters).ok());
  Gradients gradients(parameters, DType::float64);
  gradients.set_all({{3.0}, {4.0}});
  ASSERT_TRUE(transform.update(gradients.refs()).ok());
  gradients.set_all({{30.0}, {40.0}});
  const StepReport report = transform.update(gradients.refs()).value();
  EXPECT_NEAR(report.global_norm, 10.0, 1e-13);
  EXPECT_EQ(report.tensors[0].factor, report.tensors[1].factor);
}

class AdaptiveClipTest : public ::testing::Test {
 protected:
  std::vector<Values> clipped(const ParameterSet& parameters, AdaptiveClipOptions options,
                              const std::vector<Values>& gradient, const std::vector<Values>& value,
                              DType dtype = DType::float64) {
    GradientTransform transform = adaptive_clip(std::move(options));
    transform.init(parameters).check();
    Gradients gradients(parameters, dtype);
    Gradients values(parameters, DType::float32);
    gradients.set_all(gradient);
    values.set_all(value);
    report_ = transform.update(gradients.refs(), values.refs()).value();
    return gradients.values();
  }
  StepReport report_;
};

TEST_F(AdaptiveClipTest, UnitsAreRowsOfMatricesAndWholeVectors) {
  const ParameterSet parameters =
      testing::parameter_set({{"weight", {2, 2}}, {"bias", {2}}, {"gain", {}}, {"conv", {2, 1, 2}}});
  const auto out =
      clipped(parameters, {.clip_factor = 0.5, .epsilon = 0.125},
              {{3, 4, 0.3, 0.4}, {3, 4}, {-9}, {6, 8, 0.1, 0}}, {{3, 4, 0, 0}, {0, 1}, {2}, {0, 2, 30, 40}});
  EXPECT_EQ(out[0], (Values{1.5, 2.0, 0.3 * 0.125, 0.4 * 0.125})) << "a row of zeros counts as epsilon";
  EXPECT_NEAR(out[1][0], 0.3, 1e-15);
  EXPECT_NEAR(out[1][1], 0.4, 1e-15);
  EXPECT_EQ(out[2], Values{-1.0});
  EXPECT_NEAR(out[3][0], 0.6, 1e-15);
  EXPECT_EQ(out[3][2], 0.1) << "within its limit";
  EXPECT_EQ(report_.rows.size(), 2u + 1u + 1u + 2u);
}

TEST_F(AdaptiveClipTest, TheFinalHeadIsLeftOutByItsName) {
  const std::vector<std::string> heads = {"head.weight",          "heads.head.bias",     "lm_head.weight",
                                          "model.lm_head.weight", "classifier.2.weight", "fc.weight",
                                          "output.weight"};
  const std::vector<std::string> others = {"layers.0.attention.output.dense.weight",
                                           "layers.0.mlp.fc.weight",
                                           "blocks.1.overhead",
                                           "embed.weight",
                                           "head",
                                           "lm_headroom.weight"};
  for (const auto* names : {&heads, &others}) {
    for (const std::string& name : *names) {
      const ParameterSet parameters = testing::parameter_set({{name, {1}}});
      EXPECT_EQ(clipped(parameters, {}, {{1.0}}, {{1.0}})[0][0] == 1.0, names == &heads) << name;
      EXPECT_NE(clipped(parameters, {.exclude = {}}, {{1.0}}, {{1.0}})[0][0], 1.0) << name;
      EXPECT_EQ(clipped(parameters, {.exclude = {"no", name}}, {{1.0}}, {{1.0}})[0][0], 1.0) << name;
    }
  }
}

TEST_F(AdaptiveClipTest, AParameterThatIsNotFiniteSetsNoLimit) {
  const ParameterSet parameters = testing::parameter_set({{"a", {1}}});
  for (const double value : {std::nan(""), kInf})
    EXPECT_EQ(clipped(parameters, {}, {{7.0}}, {{value}})[0][0], 7.0);
}

TEST_F(AdaptiveClipTest, ParametersOfAnyLayoutAreMeasuredRowByRow) {
  const ParameterSet parameters = testing::parameter_set({{"a", {2, 2}}});
  GradientTransform transform = adaptive_clip({.clip_factor = 1.0, .epsilon = 1e-6});
  ASSERT_TRUE(transform.init(parameters).ok());
  Gradients gradients(parameters, DType::float64);
  gradients.set_all({{10, 0, 0, 10}});
  const std::vector<double> transposed = {3, 1, 4, 2};  // rows (3, 4) and (1, 2)
  const std::vector<std::int64_t> sizes = {2, 2};
  const std::vector<std::int64_t> strides = {1, 2};
  const TensorRef value{.data = const_cast<double*>(transposed.data()),
                        .dtype = DType::float64,
                        .sizes = sizes,
                        .strides = strides};
  ASSERT_TRUE(transform.update(gradients.refs(), std::span(&value, 1)).ok());
  EXPECT_NEAR(gradients.values(0)[0], 5.0, 1e-14);
  EXPECT_NEAR(gradients.values(0)[3], std::sqrt(5.0), 1e-14);
}

TEST(SpikeAwareClipTest, AnElementIsComparedWithItsOwnSecondMoment) {
  OneNumber clip(spike_aware_clip({.threshold = 4.0, .beta2 = 0.75, .reset_interval = 0, .quiet_steps = 2}));
  EXPECT_EQ(clip(100.0), 100.0) << "in the quiet steps nothing is clipped";
  EXPECT_EQ(clip(1000.0), std::sqrt(4.0 * 0.25 * 100.0 * 100.0)) << "the second step is the last quiet one";
}

TEST(SpikeAwareClipTest, AResetForgetsAndIsFollowedByQuietSteps) {
  OneNumber clip(spike_aware_clip({.threshold = 1.0, .beta2 = 0.5, .reset_interval = 5, .quiet_steps = 2}));
  const double sizes[] = {1, 10, 1, 10, 1e3, 1e4, 1e5, 1e-3};
  std::vector<bool> cut;
  for (const double size : sizes) cut.push_back(clip(size) != size);
  EXPECT_EQ(cut, (std::vector<bool>{false, true, true, true, false, false, true, false}));
}

TEST(SpikeAwareClipTest, AnElementWithoutHistoryIsLeftOnlyByTheRobustForm) {
  for (const Compat compat : {Compat::robust, Compat::released}) {
    const ParameterSet parameters = testing::parameter_set_of_sizes({{2}});
    GradientTransform transform = spike_aware_clip({.quiet_steps = 2, .compat = compat});
    ASSERT_TRUE(transform.init(parameters).ok());
    Gradients gradients(parameters, DType::float64);
    for (int step = 1; step <= 6; ++step) {
      gradients.set_all({{1.0, step <= 3 ? 0.0 : 1.0}});
      ASSERT_TRUE(transform.update(gradients.refs()).ok());
      const double expected = step <= 3 || compat == Compat::released ? 0.0 : 1.0;
      EXPECT_EQ(gradients.values(0)[1], expected) << "step " << step;
    }
  }
}

TEST(SpikeAwareClipTest, GradientsThatAreNotContiguousAreRefused) {
  const ParameterSet parameters = testing::parameter_set({{"w", {2, 2}}});
  GradientTransform transform = chain(record_norms(), spike_aware_clip());
  ASSERT_TRUE(transform.init(parameters).ok());
  Gradients gradients(parameters, DType::float32);
  gradients.set_all({{1, 2, 3, 4}});
  std::vector<TensorRef> refs(gradients.refs().begin(), gradients.refs().end());
  const std::vector<std::int64_t> strides = {1, 2};
  refs[0].strides = strides;
  EXPECT_EQ(
      transform.update(refs).status().message(),
      "gradient of 'w' is not contiguous, but 'spike_aware_clip' keeps a second moment of every element in "
      "row-major order; pass a contiguous copy");
  refs[0].strides = {};
  refs[0].sparse_values = true;
  EXPECT_EQ(transform.update(refs).status().code(), StatusCode::unsupported);
}

TEST(AdaptiveValueClipTest, ElementsAboveTheAverageOfTheLargestShrinkInProportion) {
  const ParameterSet parameters = testing::parameter_set_of_sizes({{3}});
  GradientTransform transform = adaptive_value_clip({.theta = 0.5});
  ASSERT_TRUE(transform.init(parameters).ok());
  Gradients gradients(parameters, DType::float64);
  gradients.set_all({{1.0, -2.0, 0.5}});
  ASSERT_TRUE(transform.update(gradients.refs()).ok());
  EXPECT_EQ(gradients.values(0), (Values{1.0, -2.0, 0.5})) << "the first step has nothing to compare with";
  gradients.set_all({{-8.0, 6.0, 5.0}});
  ASSERT_TRUE(transform.update(gradients.refs()).ok());
  // (0.25 * 2 + 0.5 * 8) / 0.75 = 6
  EXPECT_EQ(gradients.values(0), (Values{-6.0, 6.0, 5.0}));
  gradients.set_all({{-16.0, 12.0, 1.0}});
  ASSERT_TRUE(transform.update(gradients.refs()).ok());
  const double limit = (0.125 * 2.0 + 0.25 * 8.0 + 0.5 * 16.0) / 0.875;
  EXPECT_NEAR(gradients.values(0)[0], -limit, 1e-14);
  EXPECT_NEAR(gradients.values(0)[1], 12.0 * limit / 16.0, 1e-14) << "below what is not clipped";
}

TEST(AdaptiveValueClipTest, TheLargestElementIsThatOfTheScaledGradient) {
  const ParameterSet parameters = testing::parameter_set_of_sizes({{2}});
  GradientTransform scaled = chain(scale_by(0.5), adaptive_value_clip({.theta = 0.5}));
  GradientTransform plain = adaptive_value_clip({.theta = 0.5});
  ASSERT_TRUE(scaled.init(parameters).ok());
  ASSERT_TRUE(plain.init(parameters).ok());
  Gradients gradients(parameters, DType::float64);
  Gradients halves(parameters, DType::float64);
  for (const double size : {2.0, 16.0, 1.0, 64.0}) {
    gradients.set_all({{size, -0.75 * size}});
    halves.set_all({{0.5 * size, -0.375 * size}});
    ASSERT_TRUE(scaled.update(gradients.refs()).ok());
    ASSERT_TRUE(plain.update(halves.refs()).ok());
    EXPECT_EQ(gradients.values(), halves.values());
  }
}

TEST(AdaptiveNormTest, IsStabilizeWithOtherDecays) {
  const ParameterSet parameters = testing::parameter_set_of_sizes({{4}, {2, 3}});
  GradientTransform transform = adaptive_norm({.gamma1 = 0.7, .gamma2 = 0.9, .epsilon = 0.0});
  GradientTransform same = stabilize({.gamma1 = 0.7, .gamma2 = 0.9});
  ASSERT_TRUE(transform.init(parameters).ok());
  ASSERT_TRUE(same.init(parameters).ok());
  Gradients gradients(parameters, DType::float64);
  Gradients others(parameters, DType::float64);
  for (unsigned step = 1; step <= 30; ++step) {
    gradients.set(0, testing::normal_values(4, step == 20 ? 1e4 : 1.0, step));
    gradients.set(1, testing::normal_values(6, 1e-3, 100 + step));
    others.set_all(gradients.values());
    ASSERT_TRUE(transform.update(gradients.refs()).ok());
    ASSERT_TRUE(same.update(others.refs()).ok());
    EXPECT_EQ(gradients.values(), others.values());
  }
}

TEST(AdaptiveNormTest, TheDecayFallsAlongACosineAndStaysDownUnlessAsReleased) {
  AdaptiveNormOptions options{.total_steps = 9, .least_scale = 0.5};
  EXPECT_NEAR(options.scale_at(5), 0.75, 1e-15);
  EXPECT_NEAR(options.scale_at(10), 0.5, 1e-15);
  EXPECT_NEAR(options.scale_at(15), 0.5, 1e-15);
  options.compat = Compat::released;
  EXPECT_NEAR(options.scale_at(15), 0.75, 1e-15);
  EXPECT_NEAR(options.scale_at(20), 1.0, 1e-15);
  EXPECT_EQ(AdaptiveNormOptions{}.scale_at(1000), 1.0);
}

TEST(NormalizeTest, EveryUnitHasANormOfOneWhateverItsSize) {
  for (const double size : {5e-324, 1e-300, 1e-30, 1.0, 1e30, 1e300}) {
    OneNumber unit(normalize());
    const double out = unit(-size);
    // The smallest numbers are raised by the largest power of two of a double and no further.
    EXPECT_NEAR(out, size < 1e-307 ? -size * 0x1p+1023 : -1.0, 1e-15) << size;
    EXPECT_EQ(unit(0.0), 0.0);
  }
  const ParameterSet parameters = testing::parameter_set_of_sizes({{2}, {2, 2}});
  GradientTransform rows = normalize(Units::per_row());
  ASSERT_TRUE(rows.init(parameters).ok());
  Gradients gradients(parameters, DType::float64);
  gradients.set_all({{3, 4}, {0, 0, -5, 12}});
  ASSERT_TRUE(rows.update(gradients.refs()).ok());
  EXPECT_NEAR(gradients.values(0)[1], 0.8, 1e-15);
  EXPECT_NEAR(gradients.values(1)[2], -5.0 / 13.0, 1e-15);
  GradientTransform model = normalize(Units::whole_model());
  ASSERT_TRUE(model.init(parameters).ok());
  gradients.set_all({{0, 3}, {0, 4, 0, 12}});
  EXPECT_NEAR(model.update(gradients.refs())->global_norm, 1.0, 1e-15);
  EXPECT_NEAR(gradients.values(0)[1], 3.0 / 13.0, 1e-15);
}

TEST(ScaleByTest, MultipliesEverythingByTheSameNumber) {
  OneNumber scaled(scale_by(-0.25));
  EXPECT_EQ(scaled(8.0), -2.0);
  EXPECT_EQ(scaled(1e300), -0.25e300);
}

}  // namespace
}  // namespace gradstab
