// Element types of parameters and gradients.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "gradstab/backend.hpp"
#include "gradstab/transforms.hpp"
#include "optimizer/kinds.hpp"
#include "optimizer/training.hpp"

namespace gradstab::testing {
namespace {

class LowPrecisionTest : public ::testing::TestWithParam<Kind> {
 protected:
  /// Gradients whose squares add up exactly, so that 16-bit and float32 gradients have the same norm.
  static std::vector<std::vector<Values>> run_of_gradients(const ParameterSet& parameters) {
    std::mt19937_64 random(29);
    std::vector<std::vector<Values>> result;
    for (int step = 0; step < 12; ++step) result.push_back(exact_gradients(random, parameters));
    return result;
  }
};

TEST_P(LowPrecisionTest, SixteenBitGradientsEqualTheSameValuesInFloat32) {
  const ParameterSet parameters = small_model(300);
  const auto steps = run_of_gradients(parameters);
  for (const Backend* backend : backends()) {
    if (!backend->supported()) continue;
    const OptimizerRunOptions run{.run = {.backend = std::string(backend->name())}};
    for (const bool stabilized : {false, true}) {
      const auto front = [&]() -> std::optional<GradientTransform> {
        if (stabilized) return stabilize();
        return {};
      };
      Training wide(parameters, DType::float32, DType::float32, GetParam().options, front(), run);
      Training half(parameters, DType::float32, DType::float16, GetParam().options, front(), run);
      Training brain(parameters, DType::float32, DType::bfloat16, GetParam().options, front(), run);
      for (const auto& gradients : steps) {
        wide.step(gradients);
        half.step(gradients);
        brain.step(gradients);
      }
      EXPECT_EQ(half.weight_bytes(), wide.weight_bytes()) << backend->name();
      EXPECT_EQ(brain.weight_bytes(), wide.weight_bytes()) << backend->name();
    }
  }
}

TEST_P(LowPrecisionTest, MasterCopiesMakeTheFloat32RunRounded) {
  const ParameterSet parameters = small_model(7);
  Training wide(parameters, DType::float32, DType::bfloat16, GetParam().options, stabilize());
  Training low(parameters, DType::bfloat16, DType::bfloat16, GetParam().options, stabilize());
  for (std::size_t i = 0; i < parameters.size(); ++i) wide.weights.set(i, low.weights.values(i));
  for (const auto& gradients : run_of_gradients(parameters)) {
    wide.step(gradients);
    low.step(gradients);
    for (std::size_t i = 0; i < parameters.size(); ++i) {
      Values expected = wide.weights.values(i);
      for (double& value : expected) value = rounded(value, DType::bfloat16);
      ASSERT_EQ(low.weights.values(i), expected);
    }
  }
}

std::vector<std::byte> stochastic_run(const OptimizerOptions& options, std::uint64_t seed, unsigned threads) {
  const ParameterSet parameters = parameter_set({{"embed", {300, 700}}, {"b", {1000}}});
  OptimizerRunOptions run{.low_precision = LowPrecision::stochastic_rounding, .seed = seed};
  if (threads > 1) run.run.executor = thread_pool(threads).value();
  Training training(parameters, DType::bfloat16, DType::bfloat16, options, stabilize(), run);
  std::mt19937_64 random(31);
  for (int step = 0; step < 3; ++step) training.step(random_gradients(random, parameters));
  return training.weight_bytes();
}

TEST_P(LowPrecisionTest, StochasticRoundingFollowsItsSeedAndNothingElse) {
  const auto first = stochastic_run(GetParam().options, 5, 1);
  EXPECT_EQ(stochastic_run(GetParam().options, 5, 1), first);
  EXPECT_EQ(stochastic_run(GetParam().options, 5, 3), first) << "depends on the threads";
  EXPECT_NE(stochastic_run(GetParam().options, 6, 1), first);
}

INSTANTIATE_TEST_SUITE_P(All, LowPrecisionTest, ::testing::ValuesIn(all_kinds()),
                         [](const auto& test) { return test.param.name; });

/// A step of 1/16 of the spacing moves the parameter once in 16 times; nearest rounding never would.
TEST(StochasticOptimizerTest, SmallStepsArriveOnAverage) {
  const ParameterSet parameters = parameter_set({{"w", {20000}}});
  Training training(parameters, DType::bfloat16, DType::bfloat16, SgdOptions{.lr = 0x1p-11}, {},
                    {.low_precision = LowPrecision::stochastic_rounding});
  training.weights.set(0, Values(20000, 1.5));
  constexpr int kSteps = 20;
  for (int step = 0; step < kSteps; ++step) training.step({Values(20000, 1.0)});
  double mean = 0.0;
  for (const double value : training.weights.values(0)) mean += value / 20000;
  // Each step has a variance of f (1 - f) spacings^2, f = 1/16, spacing 2^-7: the mean's error over 20000.
  const double error = 0x1p-7 * std::sqrt(kSteps * (1.0 / 16) * (15.0 / 16) / 20000);
  EXPECT_NEAR(mean, 1.5 - kSteps * 0x1p-11, 5 * error);
  // Steps draw different numbers: were they the same, elements would all have moved every step or never.
  EXPECT_LT(std::ranges::count(training.weights.values(0), 1.5), 20000 * 0.5);
}

/// Different parameters, blocks and steps draw different numbers.
TEST(StochasticOptimizerTest, ParametersBlocksAndStepsDrawTheirOwnNumbers) {
  const ParameterSet parameters = parameter_set({{"a", {140000}}, {"b", {140000}}});
  Training training(parameters, DType::bfloat16, DType::bfloat16, SgdOptions{.lr = 0x1p-9}, {},
                    {.low_precision = LowPrecision::stochastic_rounding});
  const auto step = [&] {
    training.weights.set_all({Values(140000, 1.5), Values(140000, 1.5)});
    training.step({Values(140000, 1.0), Values(140000, 1.0)});
    return training.weights.values();
  };
  const auto first = step();
  const auto second = step();
  EXPECT_NE(first[0], first[1]);
  EXPECT_NE(first[0], second[0]);
  EXPECT_FALSE(std::equal(first[0].begin(), first[0].begin() + 65536, first[0].begin() + 65536));
  // A gathered gradient draws the same numbers as a straight one: the stretch it is copied in is no block.
  Training gathered(parameters, DType::bfloat16, DType::bfloat16, SgdOptions{.lr = 0x1p-9}, {},
                    {.low_precision = LowPrecision::stochastic_rounding});
  gathered.weights.set_all({Values(140000, 1.5), Values(140000, 1.5)});
  std::vector<std::uint16_t> every_second(280000, to_bfloat16(1.0).bits);
  const std::vector<std::int64_t> strides = {2};
  gathered.gradients.set_all({Values(140000, 1.0), Values(140000, 1.0)});
  gathered.gradients.mutable_refs()[0].data = every_second.data();
  gathered.gradients.mutable_refs()[0].strides = strides;
  ASSERT_TRUE(gathered.optimizer.step(gathered.weights.refs(), gathered.gradients.refs()).ok());
  EXPECT_EQ(gathered.weights.values(), first);
}

std::string refusal(DType parameter, DType gradient) {
  const ParameterSet parameters = parameter_set({{"w", {3}}});
  Training training(parameters, parameter, gradient, AdamOptions{});
  const auto before = training.weight_bytes();
  const auto fresh = training.optimizer.save().value();
  training.gradients.set(0, Values{1, 2, 3});
  const Status status = training.optimizer.step(training.weights.refs(), training.gradients.refs()).status();
  EXPECT_TRUE(status.ok() || status.code() == StatusCode::unsupported);
  EXPECT_TRUE(status.ok() || training.weight_bytes() == before);
  EXPECT_TRUE(status.ok() || training.optimizer.save().value() == fresh);
  return status.message();
}

TEST(OptimizerDTypeTest, Float64GoesWithFloat64OnlyAndFloat16ParametersWithNothing) {
  for (const DType gradient : {DType::float32, DType::float16, DType::bfloat16}) {
    EXPECT_EQ(refusal(DType::float32, gradient), "");
    EXPECT_EQ(refusal(DType::bfloat16, gradient), "");
    EXPECT_EQ(refusal(DType::float16, gradient),
              "parameter 'w' has dtype float16, expected float32, float64 or bfloat16");
    EXPECT_EQ(refusal(DType::float64, gradient), "parameter 'w' is float64 but its gradient is " +
                                                     std::string(to_string(gradient)) +
                                                     "; float64 goes with float64 only");
  }
  EXPECT_EQ(refusal(DType::float64, DType::float64), "");
  EXPECT_EQ(refusal(DType::float32, DType::float64),
            "parameter 'w' is float32 but its gradient is float64; float64 goes with float64 only");
  EXPECT_EQ(refusal(DType::bfloat16, DType::float64),
            "parameter 'w' is bfloat16 but its gradient is float64; float64 goes with float64 only");
}

TEST(OptimizerDTypeTest, AParametersDTypeStaysAndItsGradientsMayChange) {
  const ParameterSet parameters = parameter_set({{"w", {3}}});
  Training training(parameters, DType::float32, AdamOptions{});
  training.step({{1, 2, 3}});
  const auto state = training.optimizer.save().value();
  Gradients brain(parameters, DType::bfloat16);
  brain.set(0, Values{1, 2, 3});
  const Status status = training.optimizer.step(brain.refs(), brain.refs()).status();
  EXPECT_EQ(status.code(), StatusCode::unsupported);
  EXPECT_EQ(status.message(), "parameter 'w' is bfloat16 with a master copy, but its state is of float32");
  EXPECT_EQ(training.optimizer.save().value(), state);
  EXPECT_TRUE(training.optimizer.step(training.weights.refs(), brain.refs()).ok());
}

}  // namespace
}  // namespace gradstab::testing
