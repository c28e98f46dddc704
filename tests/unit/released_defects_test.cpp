// Defects of the released GradientStabilizer, one test each, that show that this library does not have them.
//
// Rows of the same list that belong elsewhere:
//    1  the import name of the README            Python package, tests/python
//    2  a test with an option that is unknown    Python package, tests/python
//    3  schedulers refuse the wrapper            LibTorch adaptor, tests/libtorch
//    4  a closure sees stale gradients           LibTorch adaptor, tests/libtorch
//    5  a wait for the device per tensor         CUDA backend; here: no allocation and no call per tensor
//   13  sharded norms                            distributed adaptor
//   14  sparse gradients pass unscaled           LibTorch adaptor, tests/libtorch
//   17  a single parameter, generators           LibTorch adaptor, tests/libtorch; here: duplicates
//   19  checkpoints of a plain optimizer         LibTorch adaptor, tests/libtorch
//   21  the sum of `skipped` over ranks          distributed adaptor
//   22  two minimum versions of torch            Python package
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>

#include "gradstab/gradstab.hpp"
#include "support/gradients.hpp"
#include "support/saved_moments.hpp"

namespace gradstab {
namespace {

using testing::Gradients;
using testing::norm_of;
using testing::Values;

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
constexpr double kInf = std::numeric_limits<double>::infinity();

/// One tensor of `count` elements, one gradient at a time.
class OneTensor {
 public:
  OneTensor(std::int64_t count, DType dtype, StabilizerOptions options = {})
      : parameters_(testing::parameter_set_of_sizes({{count}})),
        transform_(stabilize(options)),
        gradients_(parameters_, dtype) {
    transform_.init(parameters_).check();
  }

  Values step(const Values& gradient) {
    gradients_.set(0, gradient);
    transform_.update(gradients_.refs()).status().check();
    return gradients_.values(0);
  }
  double norm_after(const Values& gradient) { return norm_of(step(gradient)); }

  GradientTransform& transform() { return transform_; }
  Gradients& gradients() { return gradients_; }

 private:
  ParameterSet parameters_;
  GradientTransform transform_;
  Gradients gradients_;
};

/// Counts the jobs it is given.
class CountingExecutor final : public Executor {
 public:
  unsigned concurrency() const noexcept override { return 1; }
  void run(std::size_t count, Task task, void* context) noexcept override {
    ++jobs;
    for (std::size_t i = 0; i < count; ++i) task(context, i);
  }
  int jobs = 0;
};

TEST(ReleasedDefectsTest, Row05TensorsAreMeasuredTogetherAndNotOneByOne) {
  const ParameterSet parameters =
      testing::parameter_set_of_sizes(std::vector<std::vector<std::int64_t>>(1000, {16}));
  const auto executor = std::make_shared<CountingExecutor>();
  GradientTransform transform = stabilize();
  ASSERT_TRUE(transform.init(parameters, {.executor = executor}).ok());
  Gradients gradients(parameters, DType::float32);
  for (std::size_t t = 0; t < 1000; ++t) gradients.set(t, Values(16, 1.0));
  ASSERT_TRUE(transform.update(gradients.refs()).ok());
  EXPECT_EQ(executor->jobs, 2) << "one to measure 1000 tensors, one to scale them";
}

TEST(ReleasedDefectsTest, Row06AFloat16NormBeyondTheTypesRangeIsASpike) {
  OneTensor tensor(4096, DType::float16);
  for (int step = 0; step < 20; ++step) {
    // 4096 ones have norm 64; summed in float16 they gave 45.25.
    EXPECT_NEAR(tensor.norm_after(Values(4096, 1.0)), 1.0, 1e-3);
  }
  const double spike = tensor.norm_after(Values(4096, 60000.0));  // norm 3.84e6, finite elements
  EXPECT_GT(spike, 1.0);
  EXPECT_LE(spike, step_bound({}, 21) * (1 + 0x1p-11));
  EXPECT_EQ(testing::saved_moments(tensor.transform())[0].step, 21);
  EXPECT_EQ(testing::saved_moments(tensor.transform())[0].nonfinite, 0);
}

TEST(ReleasedDefectsTest, Row07NormsAreAccumulatedWiderThanTheGradient) {
  // A norm of 300000 bfloat16 ones, accumulated in bfloat16, stops at 16; in float32 it keeps 7 digits.
  const ParameterSet parameters = testing::parameter_set_of_sizes({{300000}});
  for (const DType dtype : {DType::bfloat16, DType::float16, DType::float32}) {
    GradientTransform transform = stabilize();
    ASSERT_TRUE(transform.init(parameters).ok());
    Gradients gradients(parameters, dtype);
    gradients.set(0, Values(300000, 1.0));
    const auto report = transform.update(gradients.refs());
    ASSERT_TRUE(report.ok());
    EXPECT_EQ(report->tensors[0].raw_norm, std::sqrt(300000.0)) << to_string(dtype);
  }
}

TEST(ReleasedDefectsTest, Row08TheStabilizedNormIsBoundedByWhatIsDocumentedAndNotByOne) {
  OneTensor paper_form(1, DType::float64, StabilizerOptions::paper());
  EXPECT_NEAR(paper_form.norm_after({5.0}), 12.649111, 0.5e-6);
  OneTensor growing(1, DType::float64, StabilizerOptions::paper());
  double largest = 0.0;
  for (int step = 1; step <= 40; ++step) {
    const double rho = growing.norm_after({worst_case_norm({}, step)});
    EXPECT_LE(rho, step_bound(StabilizerOptions::paper(), step) * (1 + 1e-13));
    largest = std::fmax(largest, rho);
  }
  EXPECT_GT(largest, 15.81);
}

TEST(ReleasedDefectsTest, Row09StateIsKeyedByNameAndNeverByIdentity) {
  // Models are created and deleted in a loop, in memory that is reused; each starts afresh.
  for (int model = 0; model < 200; ++model) {
    OneTensor tensor(50, DType::float32);
    EXPECT_NEAR(tensor.norm_after(Values(50, std::pow(10.0, model % 7))), 1.0, 1e-6) << model;
  }
}

TEST(ReleasedDefectsTest, Row10StateOfRemovedParametersGoesAndASavedStateIsWhole) {
  GradientTransform transform = stabilize();
  const ParameterSet both = testing::parameter_set({{"kept", {1}}, {"removed", {1}}});
  ASSERT_TRUE(transform.init(both).ok());
  Gradients gradients(both, DType::float32);
  gradients.set_all({{2}, {3}});
  ASSERT_TRUE(transform.update(gradients.refs()).ok());
  const std::size_t size_before = transform.save().value().size();
  ASSERT_TRUE(transform.rebind(testing::parameter_set({{"kept", {1}}})).ok());
  EXPECT_LT(transform.save().value().size(), size_before);
  ASSERT_TRUE(transform.rebind(both).ok());
  EXPECT_EQ(testing::saved_moments(transform)[0].step, 1);
  EXPECT_EQ(testing::saved_moments(transform)[1], NormMoments{}) << "a name that returns starts afresh";

  // What a deep copy lost there, save and load carry here.
  GradientTransform copy = stabilize();
  ASSERT_TRUE(copy.init(both).ok());
  ASSERT_TRUE(copy.load(transform.save().value()).ok());
  EXPECT_EQ(testing::saved_moments(copy), testing::saved_moments(transform));
}

TEST(ReleasedDefectsTest, Row11ANaNDoesNotReachTheOptimizer) {
  OneTensor tensor(3, DType::float32);
  tensor.step({1, 2, 2});
  EXPECT_EQ(tensor.step({1, kNaN, 2}), (Values{0, 0, 0}));
  EXPECT_NEAR(tensor.norm_after({1, 2, 2}), 1.0, 1e-6);
}

TEST(ReleasedDefectsTest, Row12AnInfOrALargeFiniteNormDoesNotReachTheOptimizer) {
  OneTensor tensor(2, DType::float32);
  tensor.step({3, 4});
  EXPECT_EQ(tensor.step({kInf, 1}), (Values{0, 0}));
  // Finite, with a float32 norm that overflows: a spike, and bounded.
  const double rho = tensor.norm_after({3e38, 3e38});
  EXPECT_LE(rho, step_bound({}, 2) * (1 + 0x1p-24));
  EXPECT_GT(rho, 0.0);
}

TEST(ReleasedDefectsTest, Row15DoubleGradientsNeitherFreezeNorLoseDigits) {
  OneTensor tensor(2, DType::float64);
  tensor.step({3, 4});
  EXPECT_LE(tensor.norm_after({1.2e30, 1.6e30}), step_bound({}, 2) * (1 + 1e-15));
  for (int step = 0; step < 1000; ++step) EXPECT_GT(tensor.norm_after({3, 4}), 0.0);
  OneTensor precise(3, DType::float64);
  const Values gradient = {0.1, -0.2, 0.7};
  const Values out = precise.step(gradient);
  for (std::size_t i = 0; i < 3; ++i) {
    const double expected = gradient[i] / norm_of(gradient);
    EXPECT_NEAR(out[i], expected, 4 * 0x1p-53 * std::fabs(expected)) << "to the last digits of a double";
  }
}

TEST(ReleasedDefectsTest, Row16ScalingTheHistoryByAPowerOfTwoChangesNoBit) {
  std::vector<Values> expected;
  for (const int exponent : {0, -40, -100, 60, 120}) {
    OneTensor tensor(4, DType::float32);
    std::mt19937 random(7);
    std::normal_distribution<double> normal;
    for (std::size_t step = 0; step < 20; ++step) {
      Values gradient(4);
      for (double& value : gradient) value = std::ldexp(normal(random), exponent);
      const Values out = tensor.step(gradient);
      if (exponent == 0) expected.push_back(out);
      // 2^-100 times the smallest of these is still a normal float32.
      EXPECT_EQ(out, expected[step]) << "exponent " << exponent << " step " << step;
    }
  }
}

TEST(ReleasedDefectsTest, Row17ADuplicatedParameterIsRefused) {
  const auto twice = ParameterSet::create({{"w", {2}}, {"w", {2}}});
  ASSERT_FALSE(twice.ok());
  EXPECT_NE(twice.status().message().find("'w' is used twice"), std::string::npos);
}

TEST(ReleasedDefectsTest, Row18ASecondCallInOneStepIsRefused) {
  OneTensor tensor(2, DType::float32);
  tensor.gradients().set(0, Values{3, 4});
  ASSERT_TRUE(tensor.transform().update(tensor.gradients().refs(), 1).ok());
  const auto bytes = tensor.gradients().bytes(0);
  EXPECT_EQ(tensor.transform().update(tensor.gradients().refs(), 1).status().code(),
            StatusCode::failed_precondition);
  EXPECT_EQ(tensor.gradients().bytes(0), bytes);
  EXPECT_EQ(testing::saved_moments(tensor.transform())[0].step, 1);
}

TEST(ReleasedDefectsTest, Row20ASettingThatDiffersOnLoadingIsAnErrorAndReorderedParametersKeepTheirState) {
  const ParameterSet there = testing::parameter_set({{"x", {1}}, {"y", {1}}});
  const ParameterSet here = testing::parameter_set({{"y", {1}}, {"x", {1}}});
  GradientTransform source = stabilize();
  ASSERT_TRUE(source.init(there).ok());
  Gradients gradients(there, DType::float32);
  gradients.set_all({{1}, {100}});
  ASSERT_TRUE(source.update(gradients.refs()).ok());
  const auto state = source.save().value();

  GradientTransform other_setting = stabilize({.gamma1 = 0.7});
  ASSERT_TRUE(other_setting.init(there).ok());
  EXPECT_EQ(other_setting.load(state).message(),
            "stabilize has gamma1 = 0.7 here but gamma1 = 0.6 in the saved state");

  GradientTransform reordered = stabilize();
  ASSERT_TRUE(reordered.init(here).ok());
  ASSERT_TRUE(reordered.load(state).ok());
  EXPECT_EQ(testing::saved_moments(reordered)[0], testing::saved_moments(source)[1]);
  EXPECT_EQ(testing::saved_moments(reordered)[1], testing::saved_moments(source)[0]);
}

TEST(ReleasedDefectsTest, Row23SixteenBitOutputsAreRoundedOnce) {
  const ParameterSet parameters = testing::parameter_set_of_sizes({{257}});
  for (const DType dtype : {DType::bfloat16, DType::float16}) {
    GradientTransform transform = stabilize();
    ASSERT_TRUE(transform.init(parameters).ok());
    Gradients gradients(parameters, dtype);
    std::mt19937 random(11);
    std::normal_distribution<double> normal;
    NormMoments moments;
    for (int step = 1; step <= 20; ++step) {
      Values values(257);
      for (double& value : values) value = normal(random) * step;
      gradients.set(0, values);
      const Values gradient = gradients.values(0);
      const auto report = transform.update(gradients.refs());
      ASSERT_TRUE(report.ok());
      // rho and the norm keep at least the digits of a float, and nothing but the product is rounded to 16
      // bits.
      const double factor = decide({}, bias_correction_at({}, step), moments, norm_of(gradient)).factor;
      EXPECT_NEAR(report->tensors[0].factor, factor, 0x1p-23 * factor);
      for (std::size_t i = 0; i < gradient.size(); ++i) {
        EXPECT_EQ(gradients.values(0)[i], testing::rounded(gradient[i] * report->tensors[0].factor, dtype));
      }
    }
  }
}

}  // namespace
}  // namespace gradstab
