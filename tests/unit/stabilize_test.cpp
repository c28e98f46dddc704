// stabilize and record_norms on memory: element types, ranges, layouts.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "gradstab/bounds.hpp"
#include "gradstab/transforms.hpp"
#include "support/gradients.hpp"
#include "support/saved_moments.hpp"

namespace gradstab {
namespace {

using testing::Gradients;
using testing::norm_of;
using testing::normal_values;
using testing::saved_moments;
using testing::Values;

class NarrowSpikeTest : public ::testing::TestWithParam<DType> {};

TEST_P(NarrowSpikeTest, ASpikeWhoseNormExceedsTheTypesRangeIsASpikeAndNotAnInfinity) {
  const DType dtype = GetParam();
  const double largest = dtype == DType::float16 ? 65504.0 : 0x1.FEp+127;
  const ParameterSet parameters = testing::parameter_set_of_sizes({{64}});
  GradientTransform transform = stabilize();
  ASSERT_TRUE(transform.init(parameters, {.nonfinite = NonFinitePolicy::raise}).ok());
  Gradients gradients(parameters, dtype);
  const Values ordinary(64, 1.0);
  for (int step = 0; step < 20; ++step) {
    gradients.set(0, ordinary);
    ASSERT_TRUE(transform.update(gradients.refs()).ok());
    EXPECT_NEAR(norm_of(gradients.values(0)), 1.0, testing::unit_roundoff(dtype));
  }
  gradients.set(0, Values(64, largest));
  const auto report = transform.update(gradients.refs());
  ASSERT_TRUE(report.ok()) << report.status().message();
  EXPECT_EQ(report->tensors[0].raw_norm, 8.0 * largest);
  EXPECT_TRUE(report->tensors[0].finite);
  EXPECT_TRUE(report->tensors[0].spike);
  const double rho = report->tensors[0].norm();
  EXPECT_GT(rho, 1.0);
  EXPECT_LE(rho, step_bound({}, 21) * (1 + 1e-14));
  EXPECT_NEAR(norm_of(gradients.values(0)), rho, rho * testing::unit_roundoff(dtype));
}

INSTANTIATE_TEST_SUITE_P(Types, NarrowSpikeTest, ::testing::Values(DType::float16, DType::bfloat16),
                         [](const auto& test) { return std::string(to_string(test.param)); });

TEST(StabilizeRangeTest, FloatNormsFarBeyondTheRangeOfFloatSquares) {
  const ParameterSet parameters = testing::parameter_set_of_sizes({{2}});
  for (const double scale : {1e30, 1e38, 1e-30, 1e-44}) {
    GradientTransform transform = stabilize();
    ASSERT_TRUE(transform.init(parameters).ok());
    Gradients gradients(parameters, DType::float32);
    gradients.set(0, Values{scale, -scale});
    const Values rounded = gradients.values(0);
    const auto report = transform.update(gradients.refs());
    ASSERT_TRUE(report.ok());
    EXPECT_NEAR(report->tensors[0].raw_norm / norm_of(rounded), 1.0, 1e-15) << scale;
    EXPECT_NEAR(gradients.values(0)[0], std::sqrt(0.5), 1e-7) << scale;
  }
}

TEST(StabilizeRangeTest, DoubleNormsWhoseSquaresOverflowOrUnderflow) {
  const ParameterSet parameters = testing::parameter_set_of_sizes({{3}});
  for (const double scale : {1e200, 1e-200, 1e307, 1e-300}) {
    GradientTransform transform = stabilize();
    ASSERT_TRUE(transform.init(parameters).ok());
    Gradients gradients(parameters, DType::float64);
    for (int step = 0; step < 20; ++step) {
      gradients.set(0, Values{scale, -2 * scale, 2 * scale});
      const auto report = transform.update(gradients.refs());
      ASSERT_TRUE(report.ok());
      EXPECT_NEAR(report->tensors[0].raw_norm / (3 * scale), 1.0, 1e-15);
      EXPECT_NEAR(report->raw_global_norm / (3 * scale), 1.0, 1e-15);
      EXPECT_NEAR(norm_of(gradients.values(0)), 1.0, 1e-13) << scale << " step " << step;
    }
    gradients.set(0, Values{0.0, 0.0, 1.0});
    ASSERT_TRUE(transform.update(gradients.refs()).ok());
    EXPECT_TRUE(std::isfinite(gradients.values(0)[2]));
    EXPECT_GT(gradients.values(0)[2], 0.0) << "not frozen after norms of " << scale;
  }
}

TEST(StabilizeRangeTest, DenormalDoublesDoNotBecomeInfinite) {
  const ParameterSet parameters = testing::parameter_set_of_sizes({{2}});
  GradientTransform transform = stabilize();
  ASSERT_TRUE(transform.init(parameters).ok());
  Gradients gradients(parameters, DType::float64);
  const double smallest = std::numeric_limits<double>::denorm_min();
  gradients.set(0, Values{3 * smallest, -4 * smallest});
  const auto report = transform.update(gradients.refs());
  ASSERT_TRUE(report.ok());
  EXPECT_EQ(report->tensors[0].raw_norm, 5 * smallest);
  const Values out = gradients.values(0);
  EXPECT_TRUE(std::isfinite(out[0]) && std::isfinite(out[1])) << out[0] << " " << out[1];
  EXPECT_EQ(out[0] * -4.0, out[1] * 3.0) << "the direction is kept";
  EXPECT_GT(out[0], 0.0);
  EXPECT_LE(norm_of(out), 1.0 + 1e-15);
}

TEST(StabilizeRangeTest, ADenormalThatTwoLinksRaiseDoesNotBecomeInfinite) {
  const ParameterSet parameters = testing::parameter_set_of_sizes({{2}});
  GradientTransform transform = chain(stabilize(), stabilize());
  ASSERT_TRUE(transform.init(parameters).ok());
  Gradients gradients(parameters, DType::float64);
  const double smallest = std::numeric_limits<double>::denorm_min();
  gradients.set(0, Values{3 * smallest, -4 * smallest});
  const auto report = transform.update(gradients.refs());
  ASSERT_TRUE(report.ok());
  EXPECT_EQ(report->tensors[0].factor, 0x1p+1023) << "the largest power of two of a double";
  EXPECT_EQ(gradients.values(0), (Values{3 * 0x1p-51, -4 * 0x1p-51}));
}

TEST(StabilizeTest, ZeroGradientIsUnchangedAndNotCounted) {
  const ParameterSet parameters = testing::parameter_set_of_sizes({{3}});
  for (const DType dtype : {DType::float32, DType::float64, DType::float16, DType::bfloat16}) {
    GradientTransform transform = stabilize();
    ASSERT_TRUE(transform.init(parameters).ok());
    Gradients gradients(parameters, dtype);
    gradients.set(0, Values{0.0, -0.0, 0.0});
    const auto before = gradients.bytes(0);
    ASSERT_TRUE(transform.update(gradients.refs()).ok());
    EXPECT_EQ(gradients.bytes(0), before);
    EXPECT_EQ(saved_moments(transform)[0], NormMoments{.zeros = 1});
    gradients.set(0, Values{1.0, 0.0, 0.0});
    ASSERT_TRUE(transform.update(gradients.refs()).ok());
    EXPECT_EQ(gradients.values(0), (Values{1.0, 0.0, 0.0})) << "the first counted norm";
  }
}

TEST(StabilizeTest, AbsentGradientLeavesItsStateAlone) {
  const ParameterSet parameters = testing::parameter_set_of_sizes({{2}, {2}});
  GradientTransform transform = stabilize();
  ASSERT_TRUE(transform.init(parameters).ok());
  Gradients gradients(parameters, DType::float32);
  gradients.set_all({{3, 4}, {3, 4}});
  ASSERT_TRUE(transform.update(gradients.refs()).ok());
  const auto before = saved_moments(transform);
  gradients.set(0, Values{6, 8});
  gradients.set_absent(1);
  const auto report = transform.update(gradients.refs());
  ASSERT_TRUE(report.ok());
  EXPECT_FALSE(report->tensors[1].present);
  EXPECT_EQ(report->raw_global_norm, 10.0);
  EXPECT_EQ(saved_moments(transform)[0].step, 2);
  EXPECT_EQ(saved_moments(transform)[1], before[1]);
}

TEST(StabilizeTest, EmptyTensorsAreAnOrdinaryCase) {
  const ParameterSet parameters = testing::parameter_set_of_sizes({{0, 4}, {2}});
  GradientTransform transform = stabilize();
  ASSERT_TRUE(transform.init(parameters).ok());
  Gradients gradients(parameters, DType::float32);
  gradients.set(1, Values{3, 4});
  double nothing = 0.0;
  gradients.mutable_refs()[0].data = &nothing;
  const auto report = transform.update(gradients.refs());
  ASSERT_TRUE(report.ok());
  EXPECT_EQ(report->tensors[0].raw_norm, 0.0);
  EXPECT_EQ(report->raw_global_norm, 5.0);
}

TEST(StabilizeTest, DtypesMayDifferBetweenTensorsAndSteps) {
  const ParameterSet parameters = testing::parameter_set_of_sizes({{2}, {2}});
  GradientTransform transform = stabilize();
  ASSERT_TRUE(transform.init(parameters).ok());
  Gradients wide(parameters, DType::float64);
  Gradients narrow(parameters, DType::bfloat16);
  wide.set_all({{3, 4}, {6, 8}});
  narrow.set_all({{3, 4}, {6, 8}});
  ASSERT_TRUE(transform.update(std::vector<TensorRef>{wide.refs()[0], narrow.refs()[1]}).ok());
  ASSERT_TRUE(transform.update(std::vector<TensorRef>{narrow.refs()[0], wide.refs()[1]}).ok());
  EXPECT_NEAR(wide.values(0)[1], 0.8, 1e-15);
  EXPECT_NEAR(narrow.values(0)[1], 0.8, 0.8 * 0x1p-8);
  EXPECT_NEAR(wide.values(1)[0], 0.6, 1e-14);
}

/// Strided tensors must give what a contiguous copy gives, and touch nothing between their elements.
TEST(StabilizeTest, StridedGradientsEqualTheirContiguousCopyAndGapsStayUntouched) {
  const std::vector<std::int64_t> sizes = {3, 4};
  const std::vector<std::int64_t> column_major_padded = {1, 5};
  const ParameterSet parameters = testing::parameter_set_of_sizes({sizes});
  constexpr double kGap = 1e30;
  Values memory(20, kGap);
  Values contiguous;
  const Values values = normal_values(12, 2.0, 1);
  for (std::size_t i = 0; i < 3; ++i) {
    for (std::size_t j = 0; j < 4; ++j) {
      memory[i + 5 * j] = values[4 * i + j];
      contiguous.push_back(values[4 * i + j]);
    }
  }
  GradientTransform strided = stabilize();
  GradientTransform dense = stabilize();
  ASSERT_TRUE(strided.init(parameters).ok());
  ASSERT_TRUE(dense.init(parameters).ok());
  const TensorRef strided_ref{
      .data = memory.data(), .dtype = DType::float64, .sizes = sizes, .strides = column_major_padded};
  const TensorRef dense_ref{
      .data = contiguous.data(), .dtype = DType::float64, .sizes = sizes, .strides = {}};
  ASSERT_TRUE(strided.update(std::span(&strided_ref, 1)).ok());
  ASSERT_TRUE(dense.update(std::span(&dense_ref, 1)).ok());
  for (std::size_t i = 0; i < 3; ++i) {
    // The order of summation differs: 12 terms, each addition rounded once.
    for (std::size_t j = 0; j < 4; ++j) {
      EXPECT_NEAR(memory[i + 5 * j], contiguous[4 * i + j], 12 * 0x1p-53 * std::fabs(contiguous[4 * i + j]));
    }
  }
  for (std::size_t j = 0; j < 4; ++j) {
    EXPECT_EQ(memory[3 + 5 * j], kGap);
    EXPECT_EQ(memory[4 + 5 * j], kGap);
  }
}

TEST(StabilizeTest, SkippedStridedGradientsAreZeroedWithoutTouchingTheGaps) {
  const std::vector<std::int64_t> sizes = {3};
  const std::vector<std::int64_t> strides = {2};
  const ParameterSet parameters = testing::parameter_set_of_sizes({sizes});
  std::vector<float> memory = {1.0f, 7.0f, std::numeric_limits<float>::quiet_NaN(), 8.0f, 3.0f, 9.0f};
  GradientTransform transform = stabilize();
  ASSERT_TRUE(transform.init(parameters).ok());
  const TensorRef ref{.data = memory.data(), .dtype = DType::float32, .sizes = sizes, .strides = strides};
  ASSERT_TRUE(transform.update(std::span(&ref, 1)).ok());
  EXPECT_EQ(memory, (std::vector<float>{0.0f, 7.0f, 0.0f, 8.0f, 0.0f, 9.0f}));
}

TEST(StabilizeTest, AScalarUnitOptimumStepOfSgdNeverExceedsTheBound) {
  // f(x) = x^2/2 with one gradient multiplied by a million: plain SGD would leave for good.
  const ParameterSet parameters = testing::parameter_set_of_sizes({{}});
  GradientTransform transform = stabilize();
  ASSERT_TRUE(transform.init(parameters).ok());
  Gradients gradients(parameters, DType::float64);
  double x = 3.0;
  constexpr double kLearningRate = 0.01;
  for (int step = 1; step <= 1000; ++step) {
    gradients.set(0, Values{x * (step == 500 ? 1e6 : 1.0)});
    ASSERT_TRUE(transform.update(gradients.refs()).ok());
    const double change = kLearningRate * gradients.values(0)[0];
    EXPECT_LE(std::fabs(change), kLearningRate * step_bound({}, step) * (1 + 1e-13)) << step;
    x -= change;
  }
  EXPECT_LT(std::fabs(x), 3.0);
}

TEST(RecordNormsTest, FlagsSpikesAndChangesNothing) {
  const ParameterSet parameters = testing::parameter_set_of_sizes({{2}});
  GradientTransform transform = record_norms(4.0);
  ASSERT_TRUE(transform.init(parameters).ok());
  EXPECT_EQ(transform.name(), "record_norms");
  Gradients gradients(parameters, DType::bfloat16);
  for (int step = 1; step <= 40; ++step) {
    const double scale = step == 30 ? 5.0 : 1.0;
    gradients.set(0, Values{3 * scale, 4 * scale});
    const auto before = gradients.bytes(0);
    const auto report = transform.update(gradients.refs());
    ASSERT_TRUE(report.ok());
    EXPECT_EQ(gradients.bytes(0), before);
    EXPECT_EQ(report->tensors[0].factor, 1.0);
    EXPECT_EQ(report->tensors[0].spike, step == 30) << step;
    EXPECT_EQ(report->spikes, step == 30 ? 1u : 0u);
  }
  EXPECT_EQ(saved_moments(transform)[0].step, 40);
}

TEST(RecordNormsTest, InAChainItSeesTheNormsThatReachIt) {
  const ParameterSet parameters = testing::parameter_set_of_sizes({{1}});
  GradientTransform before = chain(record_norms(), clip_by_global_norm(1.0));
  GradientTransform after = chain(clip_by_global_norm(1.0), record_norms());
  ASSERT_TRUE(before.init(parameters).ok());
  ASSERT_TRUE(after.init(parameters).ok());
  Gradients gradients(parameters, DType::float32);
  for (int step = 1; step <= 20; ++step) {
    const double norm = step == 20 ? 1000.0 : 2.0;
    gradients.set(0, Values{norm});
    EXPECT_EQ(before.update(gradients.refs()).value().spikes, step == 20 ? 1u : 0u);
    gradients.set(0, Values{norm});
    EXPECT_EQ(after.update(gradients.refs()).value().spikes, 0u) << "clipping removed it";
  }
}

TEST(RecordNormsTest, ASpikeThatOneLinkSawStaysFlaggedAlthoughALaterLinkSeesItClipped) {
  const ParameterSet parameters = testing::parameter_set_of_sizes({{1}});
  GradientTransform transform = chain(record_norms(), clip_by_global_norm(1.0), record_norms());
  ASSERT_TRUE(transform.init(parameters).ok());
  Gradients gradients(parameters, DType::float32);
  for (int step = 1; step <= 20; ++step) {
    gradients.set(0, Values{step == 20 ? 1000.0 : 2.0});
    EXPECT_EQ(transform.update(gradients.refs()).value().spikes, step == 20 ? 1u : 0u) << step;
  }
}

}  // namespace
}  // namespace gradstab
