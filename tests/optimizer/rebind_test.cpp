// Rebinding: parameters come, go and change groups; what is known of those that stay is kept.
#include <gtest/gtest.h>

#include <cmath>

#include "gradstab/transforms.hpp"
#include "optimizer/kinds.hpp"
#include "optimizer/training.hpp"

namespace gradstab::testing {
namespace {

/// Small parameters that Adam-mini takes without dim and n_heads.
std::vector<Parameter> two() {
  return {{"mlp.weight", {3, 2}}, {"mlp.bias", {3}}};
}

std::vector<Parameter> three() {
  std::vector<Parameter> list = two();
  list.insert(list.begin(), {"norm", {2}});
  return list;
}

/// Gradients without the first parameter's.
std::vector<Values> tail(const std::vector<Values>& gradients) {
  return {gradients.begin() + 1, gradients.end()};
}

class OptimizerRebindTest : public ::testing::TestWithParam<Kind> {};
INSTANTIATE_TEST_SUITE_P(, OptimizerRebindTest, ::testing::ValuesIn(all_kinds()),
                         [](const auto& test) { return test.param.name; });

/// The parameters that stay move by the same bits as if nothing had happened.
TEST_P(OptimizerRebindTest, WhatStaysGoesOnAndWhatIsNewStartsFresh) {
  std::mt19937_64 random(81);
  Training kept(parameter_set(two()), DType::float32, GetParam().options, stabilize());
  Training grown(parameter_set(two()), DType::float32, GetParam().options, stabilize());
  const ParameterSet larger = parameter_set(three());
  for (int step = 0; step < 4; ++step) {
    const auto gradients = random_gradients(random, kept.parameters);
    kept.step(gradients);
    grown.step(gradients);
  }
  ASSERT_TRUE(grown.optimizer.rebind(larger).ok());
  Gradients weights(larger, DType::float32);
  Gradients gradients(larger, DType::float32);
  weights.set_all({{1, -1}, grown.weights.values(0), grown.weights.values(1)});
  EXPECT_EQ(grown.optimizer.parameter_state(0)->step, 0);
  EXPECT_EQ(grown.optimizer.parameter_state(1)->step, 4);
  for (int step = 0; step < 4; ++step) {
    const auto values = random_gradients(random, larger);
    gradients.set_all(values);
    kept.step(tail(values));
    ASSERT_TRUE(grown.optimizer.step(weights.refs(), gradients.refs()).ok());
    EXPECT_EQ(weights.values(1), kept.weights.values(0)) << step;
    EXPECT_EQ(weights.values(2), kept.weights.values(1)) << step;
  }
  EXPECT_NE(weights.values(0), (Values{1, -1}));
  EXPECT_EQ(grown.optimizer.parameter_state(0)->step, 4);
}

TEST(OptimizerRebindingTest, WithoutGroupsTheSettingsOfGroup0GoOn) {
  Training training(parameter_set(two()), DType::float32, DType::float32, AdamOptions{.lr = 0.5}, {}, {},
                    {{AdamOptions{.lr = 0.25}, {1}}, {AdamOptions{.lr = 0.75}, {0}}});
  Optimizer& optimizer = training.optimizer;
  ASSERT_TRUE(optimizer.set_lr(0, 0.125).ok());
  ASSERT_TRUE(optimizer.rebind(parameter_set(three())).ok());
  EXPECT_EQ(optimizer.group_count(), 1u);
  EXPECT_EQ(learning_rate(optimizer.options().value()), 0.125);
  ASSERT_TRUE(
      optimizer.rebind(parameter_set(two()), {{AdamOptions{.lr = 1}, {0}}, {AdamOptions{.lr = 2}, {1}}})
          .ok());
  EXPECT_EQ(learning_rate(optimizer.options(1).value()), 2.0);
}

TEST(OptimizerRebindingTest, StepNumbersGoOn) {
  Training training(parameter_set(two()), DType::float32, AdamOptions{}, stabilize());
  std::mt19937_64 random(82);
  training.gradients.set_all(random_gradients(random, training.parameters));
  const auto step = [&](std::int64_t number) {
    return training.optimizer.step(training.weights.refs(), training.gradients.refs(), number).status();
  };
  ASSERT_TRUE(step(7).ok());
  ASSERT_TRUE(training.optimizer.rebind(training.parameters).ok());
  EXPECT_EQ(step(7).message(),
            "update was called for step 7 after step 7; each step may transform its gradients once");
  EXPECT_TRUE(step(8).ok());
}

/// Rebinds to what must be refused with this message; everything stays, and the training goes on.
void expect_refused(Training& training, const std::vector<Parameter>& parameters,
                    const std::vector<OptimizerGroup>& groups, const std::string& message) {
  const auto state = training.optimizer.save().value();
  const std::size_t group_count = training.optimizer.group_count();
  const double lr = learning_rate(training.optimizer.options().value());
  EXPECT_EQ(training.optimizer.rebind(parameter_set(parameters), groups).message(), message);
  EXPECT_TRUE(training.optimizer.save().value() == state);
  EXPECT_EQ(training.optimizer.group_count(), group_count);
  EXPECT_EQ(learning_rate(training.optimizer.options().value()), lr);
  std::mt19937_64 random(83);
  training.step(random_gradients(random, training.parameters));
}

TEST(OptimizerRebindingTest, AnErrorLeavesEverything) {
  std::mt19937_64 random(84);
  const AdamOptions adam{.lr = 0.25};
  Training training(parameter_set(two()), DType::float32, DType::float32, AdamOptions{}, stabilize(), {},
                    {{adam, {1}}, {adam, {0}}});
  training.step(random_gradients(random, training.parameters));
  ASSERT_TRUE(training.optimizer.set_lr(0, 0.125).ok());
  expect_refused(training, {{"mlp.weight", {2, 3}}, {"mlp.bias", {3}}}, {},
                 "parameter 'mlp.weight' has shape [2, 3] here but [3, 2] in the saved state");
  expect_refused(training, two(), {{adam, {0}}}, "parameter 1 is in no group");
  expect_refused(training, two(), {{AdamOptions{.lr = -1}, {0, 1}}},
                 "lr must be finite and at least 0, got -1");
  expect_refused(training, two(), {{AdamOptions{.amsgrad = true}, {0, 1}}},
                 "'mlp.weight' changes its kind of state with the new groups");
}

/// A unit's second moment must not be read where there is none.
TEST(OptimizerRebindingTest, AdamMinisUnitsCannotChangeOnceTheyHaveBegun) {
  std::mt19937_64 random(85);
  AdamMiniOptions whole;
  whole.overrides = {{"mlp.weight", AdamMiniUnit::tensor}};
  Training training(parameter_set(two()), DType::float32, whole);
  const std::vector<OptimizerGroup> by_row = {{AdamMiniOptions{}, {0, 1}}};
  ASSERT_TRUE(training.optimizer.rebind(training.parameters, by_row).ok()) << "before the first step";
  ASSERT_TRUE(training.optimizer.rebind(training.parameters, {{whole, {0, 1}}}).ok());
  training.step(random_gradients(random, training.parameters));
  expect_refused(training, two(), by_row, "'mlp.weight' changes its kind of state with the new groups");
}

/// Of another shape, and without the statistics of the parameter that had the name.
TEST_P(OptimizerRebindTest, WhatIsFreshStartsAfreshAlsoInAnotherShape) {
  std::mt19937_64 random(86);
  Training training(parameter_set(two()), DType::float32, GetParam().options, stabilize());
  for (int step = 0; step < 4; ++step) training.step(random_gradients(random, training.parameters));
  const auto kept = training.optimizer.statistics(1).value();
  const ParameterSet larger = parameter_set({{"mlp.weight", {5, 2}}, {"mlp.bias", {3}}});
  EXPECT_EQ(training.optimizer.rebind(larger).code(), StatusCode::shape_mismatch);
  EXPECT_EQ(training.optimizer.step_of(0).value(), 4) << "nothing is lost";
  const std::vector<std::size_t> fresh = {0};
  ASSERT_TRUE(training.optimizer.rebind(larger, {}, fresh).ok());
  EXPECT_EQ(training.optimizer.step_of(0).value(), 0);
  EXPECT_EQ(training.optimizer.step_of(1).value(), 4);
  EXPECT_EQ(training.optimizer.statistics(1).value(), kept);
  for (const ParameterStatistic& statistic : training.optimizer.statistics(0).value()) {
    if (statistic.name != "0.stabilize.k") continue;
    EXPECT_EQ(statistic.values, (std::vector<double>{0.0}));
  }
  EXPECT_EQ(training.optimizer.step_of(7).status().message(), "there is no parameter 7; 2 are registered");
}

TEST_P(OptimizerRebindTest, AStateGoesUnderOtherNames) {
  std::mt19937_64 random(87);
  Training source(parameter_set(two()), DType::float32, GetParam().options, stabilize());
  for (int step = 0; step < 4; ++step) source.step(random_gradients(random, source.parameters));
  Training target(parameter_set({{"m.mlp.bias", {3}}, {"m.mlp.weight", {3, 2}}}), DType::float32,
                  GetParam().options, stabilize());
  const auto state = source.optimizer.save().value();
  EXPECT_FALSE(target.optimizer.load(state).ok());
  const std::vector<std::string> names = {"m.mlp.weight", "m.mlp.bias"};
  ASSERT_EQ(saved_parameters(state).value().size(), 2u);
  ASSERT_TRUE(target.optimizer.load(state, names).ok());
  for (std::size_t i = 0; i < 2; ++i) {
    EXPECT_EQ(target.optimizer.parameter_state(i)->values, source.optimizer.parameter_state(1 - i)->values);
    EXPECT_EQ(target.optimizer.statistics(i).value(), source.optimizer.statistics(1 - i).value());
  }
}

/// Parameter by parameter, with the number of steps and the copies of bfloat16.
TEST_P(OptimizerRebindTest, StateGoesOverParameterByParameter) {
  for (const DType dtype : {DType::float32, DType::bfloat16, DType::float64}) {
    std::mt19937_64 random(88);
    Training source(parameter_set(two()), dtype, GetParam().options, stabilize());
    for (int step = 0; step < 4; ++step) source.step(random_gradients(random, source.parameters));
    Training target(parameter_set(two()), dtype, GetParam().options, stabilize());
    std::vector<std::vector<ParameterStatistic>> statistics;
    for (std::size_t i = 0; i < 2; ++i) {
      const auto state = source.optimizer.parameter_state(i).value();
      EXPECT_EQ(state.steps, 4);
      EXPECT_EQ(state.master.empty(), dtype != DType::bfloat16);
      ASSERT_TRUE(target.optimizer.set_parameter_state(i, dtype, state).ok());
      statistics.push_back(source.optimizer.statistics(i).value());
    }
    ASSERT_TRUE(target.optimizer.set_statistics(statistics).ok());
    EXPECT_EQ(target.optimizer.save().value(), source.optimizer.save().value());
  }
}

TEST(OptimizerReportTest, IsThatOfTheLastStepAlsoWhereAPolicyRaised) {
  Training training(parameter_set({{"a", {1}}, {"b", {1}}}), DType::float32, SgdOptions{}, stabilize(),
                    {.run = {.nonfinite = NonFinitePolicy::raise}});
  EXPECT_EQ(training.optimizer.report().tensors.size(), 2u);
  EXPECT_FALSE(training.optimizer.report().tensors[0].present);
  training.gradients.set_all({{3}, {std::nan("")}});
  EXPECT_EQ(training.optimizer.step(training.weights.refs(), training.gradients.refs()).status().code(),
            StatusCode::non_finite);
  EXPECT_EQ(training.optimizer.report().nonfinite, 1u);
  EXPECT_EQ(training.optimizer.report().tensors[0].raw_norm, 3.0);
  EXPECT_FALSE(training.optimizer.report().tensors[1].finite);
  const StepReport report = training.step({{3}, {4}});
  EXPECT_EQ(training.optimizer.report().raw_global_norm, report.raw_global_norm);
  EXPECT_EQ(training.optimizer.report().raw_global_norm, 5.0);
}

}  // namespace
}  // namespace gradstab::testing
