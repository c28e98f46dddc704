// Exchanging the state of single parameters with other optimizers.
#include <gtest/gtest.h>

#include <cmath>

#include "optimizer/kinds.hpp"
#include "optimizer/training.hpp"

namespace gradstab::testing {
namespace {

class ParameterStateTest : public ::testing::TestWithParam<Kind> {};

TEST_P(ParameterStateTest, WhatIsTakenOutGoesInElsewhereAndTheRunGoesOn) {
  for (const DType dtype : {DType::float32, DType::float64}) {
    std::mt19937_64 random(61);
    const ParameterSet parameters = small_model(4);
    Training whole(parameters, dtype, GetParam().options);
    Training second(parameters, dtype, GetParam().options);
    for (int step = 0; step < 5; ++step) {
      whole.gradients.set_all(random_gradients(random, parameters));
      whole.gradients.set_absent(5);  // its state is empty, and empty it goes over
      ASSERT_TRUE(whole.optimizer.step(whole.weights.refs(), whole.gradients.refs()).ok());
    }
    second.weights.set_all(whole.weights.values());
    for (std::size_t i = 0; i < parameters.size(); ++i) {
      const auto state = whole.optimizer.parameter_state(i).value();
      EXPECT_EQ(state.step, i == 5 ? 0 : 5);
      EXPECT_EQ(state.values.empty(), i == 5 || GetParam().name == "sgd");
      const Status set = second.optimizer.set_parameter_state(i, dtype, state);
      ASSERT_TRUE(set.ok()) << set.message();
      EXPECT_EQ(second.optimizer.parameter_state(i)->values, state.values);
      EXPECT_EQ(second.optimizer.parameter_state(i)->step, state.step);
    }
    for (int step = 0; step < 5; ++step) {
      const auto gradients = random_gradients(random, parameters);
      whole.step(gradients);
      second.step(gradients);
      ASSERT_EQ(second.weight_bytes(), whole.weight_bytes());
    }
  }
}

TEST_P(ParameterStateTest, ArraysOfAnotherNumberOrLengthAreRefusedAndChangeNothing) {
  std::mt19937_64 random(62);
  Training run(small_model(4), DType::float32, GetParam().options);
  run.step(random_gradients(random, run.parameters));
  const auto before = run.optimizer.save().value();
  const auto good = run.optimizer.parameter_state(0).value();
  const auto refuse = [&](Optimizer::ParameterState state) {
    const Status status = run.optimizer.set_parameter_state(0, DType::float32, state);
    EXPECT_EQ(status.code(), StatusCode::shape_mismatch);
    EXPECT_EQ(run.optimizer.save().value(), before);
  };
  auto bad = good;
  bad.values.emplace_back(88, 0.0);
  refuse(bad);
  bad = good;
  bad.step = -1;
  refuse(bad);
  if (good.values.empty()) return;
  bad = good;
  bad.values.pop_back();
  refuse(bad);
  bad = good;
  bad.values.back().pop_back();
  refuse(bad);
}

INSTANTIATE_TEST_SUITE_P(All, ParameterStateTest, ::testing::ValuesIn(all_kinds()),
                         [](const auto& test) { return test.param.name; });

TEST(ParameterStateTest, AdamsMomentsFromElsewhereByHand) {
  Training run(parameter_set({{"w", {2}}}), DType::float64, AdamOptions{.lr = 0.5, .epsilon = 0.0});
  run.weights.set(0, Values{1, 1});
  // Nine steps made elsewhere; the tenth is made here.
  ASSERT_TRUE(run.optimizer.set_parameter_state(0, DType::float64, {9, {{1, -2}, {4, 9}}}).ok());
  run.step({{1, 0}});
  for (const auto& [i, m, v] :
       {std::tuple(0, 0.9 + 0.1, 0.999 * 4 + 0.001), std::tuple(1, -1.8, 0.999 * 9)}) {
    const double expected =
        1 - 0.5 * (m / (1 - std::pow(0.9, 10))) / std::sqrt(v / (1 - std::pow(0.999, 10)));
    EXPECT_NEAR(run.weights.values(0)[static_cast<std::size_t>(i)], expected, 1e-15);
  }
  EXPECT_EQ(run.optimizer.parameter_state(0)->step, 10);
}

TEST(ParameterStateTest, MessagesSayWhatIsExpected) {
  Training run(small_model(4), DType::float32, kind("adam_mini"));
  EXPECT_EQ(run.optimizer.set_parameter_state(6, DType::float32, {}).message(),
            "there is no parameter 6; 6 are registered");
  EXPECT_EQ(run.optimizer.parameter_state(6).status().message(), "there is no parameter 6; 6 are registered");
  EXPECT_EQ(run.optimizer.set_parameter_state(0, DType::float32, {1, {}}).message(),
            "state of 'embed.weight' must have 2 arrays of [88, 11] values and a step of at least 0");
  EXPECT_EQ(run.optimizer.set_parameter_state(5, DType::bfloat16, {1, {{1}, {1}}}).message(),
            "state of 'scale', bfloat16 with a master copy, must have a copy of 1 values, got 0");
}

TEST(ParameterStateTest, SettingNothingStartsAParameterAfresh) {
  std::mt19937_64 random(63);
  const ParameterSet parameters = small_model(4);
  Training run(parameters, DType::float32, AdamOptions{});
  const auto fresh = run.optimizer.save().value();
  run.gradients.set(0, random_values(random, 88, 1.0));
  for (std::size_t i = 1; i < parameters.size(); ++i) run.gradients.set_absent(i);
  ASSERT_TRUE(run.optimizer.step(run.weights.refs(), run.gradients.refs()).ok());
  ASSERT_TRUE(run.optimizer.set_parameter_state(0, DType::float32, {}).ok());
  EXPECT_TRUE(run.optimizer.parameter_state(0)->values.empty());
  // The same bytes but for the counts of steps made.
  EXPECT_EQ(run.optimizer.save()->size(), fresh.size());
}

TEST(ParameterStateTest, AMomentumBufferFromElsewhereIsNotTakenForTheFirstStep) {
  Training run(parameter_set({{"w", {1}}}), DType::float64,
               SgdOptions{.lr = 1.0, .momentum = 0.5, .dampening = 0.5});
  run.weights.set(0, Values{0});
  ASSERT_TRUE(run.optimizer.set_parameter_state(0, DType::float64, {3, {{8}}}).ok());
  run.step({{2}});  // 0.5 * 8 + 0.5 * 2
  EXPECT_EQ(run.weights.values(0)[0], -5.0);
}

}  // namespace
}  // namespace gradstab::testing
