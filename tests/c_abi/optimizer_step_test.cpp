// Optimizers through the C interface give the bits that the C++ library gives.
#include <gtest/gtest.h>

#include <cmath>
#include <cstddef>
#include <random>
#include <variant>
#include <vector>

#include "c_training.hpp"
#include "optimizer/kinds.hpp"
#include "optimizer/training.hpp"
#include "optimizer_support.hpp"

namespace gradstab::testing {
namespace {

class COptimizerOfEveryKindTest : public ::testing::TestWithParam<Kind> {};
INSTANTIATE_TEST_SUITE_P(, COptimizerOfEveryKindTest, ::testing::ValuesIn(all_kinds()),
                         [](const auto& test) { return test.param.name; });

TEST_P(COptimizerOfEveryKindTest, GivesTheBitsOfTheCppLibraryBehindAnyTransform) {
  for (const MakeFront front : {no_front, stabilize_front, chain_front})
    EXPECT_EQ(steps_that_differ({.options = GetParam().options, .front = front}), 0);
}

TEST_P(COptimizerOfEveryKindTest, GivesTheBitsOfTheCppLibraryInEveryDType) {
  const OptimizerOptions& options = GetParam().options;
  for (const DType gradients : {DType::float16, DType::bfloat16, DType::float32}) {
    for (const DType parameters : {DType::float32, DType::bfloat16})
      EXPECT_EQ(steps_that_differ({.options = options, .parameters = parameters, .gradients = gradients}), 0);
    EXPECT_EQ(steps_that_differ({.options = options,
                                 .parameters = DType::bfloat16,
                                 .gradients = gradients,
                                 .low_precision = LowPrecision::stochastic_rounding,
                                 .seed = 5}),
              0);
  }
  EXPECT_EQ(
      steps_that_differ({.options = options, .parameters = DType::float64, .gradients = DType::float64}), 0);
}

/// The library's own numbers for these are in tests/optimizer/number_range_test.cpp.
TEST_P(COptimizerOfEveryKindTest, GivesTheBitsOfTheCppLibraryForGradientsNearTheEndsOfFloat32) {
  for (const double size : {1e-42, 1e36})
    EXPECT_EQ(steps_that_differ({.options = GetParam().options, .size = size}), 0);
}

/// A tenth of everything's weight decay, another learning rate.
OptimizerOptions gentler(OptimizerOptions options) {
  std::visit(
      [](auto& typed) {
        typed.lr *= 0.5;
        typed.weight_decay *= 0.1;
      },
      options);
  return options;
}

TEST_P(COptimizerOfEveryKindTest, GivesTheBitsOfTheCppLibraryInGroups) {
  const OptimizerOptions& options = GetParam().options;
  const std::vector<OptimizerGroup> groups = {{options, {5, 0, 2}}, {gentler(options), {1, 3, 4}}};
  EXPECT_EQ(steps_that_differ({.options = options, .groups = groups}), 0);
  // The comparison sees parameters in another group.
  const std::vector<OptimizerGroup> others = {{options, {5, 0, 1}}, {gentler(options), {2, 3, 4}}};
  EXPECT_GT(steps_that_differ({.options = options, .groups = groups}, {.options = options, .groups = others}),
            kSteps / 2);
}

TEST_P(COptimizerOfEveryKindTest, TheComparisonSeesAnotherSetting) {
  OptimizerOptions other = GetParam().options;
  std::visit([](auto& typed) { typed.weight_decay *= 1.5; }, other);
  EXPECT_GT(steps_that_differ({.options = GetParam().options}, {.options = other}), kSteps / 2);
}

TEST(COptimizerTest, TheComparisonSeesAnotherTransformAndAnotherSeed) {
  EXPECT_GT(steps_that_differ({.front = chain_front}, {.front = no_front}), kSteps / 2);
  const Case random{
      .parameters = DType::bfloat16, .low_precision = LowPrecision::stochastic_rounding, .seed = 5};
  Case other = random;
  other.seed = 6;
  EXPECT_GT(steps_that_differ(random, other), kSteps / 2);
}

TEST(COptimizerTest, OverridesOfAdamMiniReachTheLibrary) {
  AdamMiniOptions options = std::get<AdamMiniOptions>(kind("adam_mini"));
  options.overrides = {{"embed*", AdamMiniUnit::tensor}, {"*.mlp.weight", AdamMiniUnit::element}};
  EXPECT_EQ(steps_that_differ({.options = options}), 0);
  AdamMiniOptions without = options;
  without.overrides.clear();
  EXPECT_GT(steps_that_differ({.options = options}, {.options = without}), kSteps / 2);
}

TEST(COptimizerTest, OptionsAndLearningRatesOfSingleGroupsReachTheLibrary) {
  const AdamOptions first{.lr = 0.01};
  const AdamOptions second{.lr = 0.02, .weight_decay = 0.1};
  const Case both{.groups = {{first, {0, 1, 2}}, {second, {3, 4, 5}}}};
  CTraining c(both);
  Training cpp = cpp_training(both);
  c.weights.set_all(cpp.weights.values());
  std::mt19937_64 random(8);
  for (int step = 1; step <= 6; ++step) {
    const AdamOptions changed{.lr = 0.003 * step, .beta1 = 0.8, .weight_decay = 0.3, .decoupled = true};
    ASSERT_TRUE(accepted(gradstab_optimizer_set_options(c.get(), 1, COptions(changed).base()), c.get()));
    ASSERT_TRUE(accepted(gradstab_optimizer_set_group_lr(c.get(), 0, 0.1 / step), c.get()));
    ASSERT_TRUE(cpp.optimizer.set_options(1, changed).ok());
    ASSERT_TRUE(cpp.optimizer.set_lr(0, 0.1 / step).ok());
    const auto values = random_gradients(random, c.set);
    c.gradients.set_all(values);
    const auto weights = as_c(c.weights.refs());
    const auto gradients = as_c(c.gradients.refs());
    ASSERT_TRUE(accepted(
        gradstab_optimizer_step(c.get(), weights.data(), gradients.data(), 6, GRADSTAB_NO_STEP, nullptr),
        c.get()));
    cpp.step(values);
    ASSERT_EQ(c.weight_bytes(), cpp.weight_bytes()) << step;
  }
}

TEST_P(COptimizerOfEveryKindTest, StepsOneByOneAndMeasuredAheadGiveTheBitsOfStepsOverAll) {
  const Case both{.options = GetParam().options};
  CTraining whole(both);
  CTraining single(both);
  CTraining measured(both);
  std::mt19937_64 random(9);
  std::vector<Values> start;
  for (const Parameter& parameter : whole.set)
    start.push_back(random_values(random, static_cast<std::size_t>(element_count(parameter.sizes)), 1.0));
  for (CTraining* training : {&whole, &single, &measured}) training->weights.set_all(start);
  const bool one_by_one = steps_one_by_one(GetParam().options);
  EXPECT_EQ(gradstab_optimizer_can_step_one(single.get()), one_by_one ? GRADSTAB_OK : GRADSTAB_UNSUPPORTED);
  for (int step = 1; step <= 10; ++step) {
    const auto values = random_gradients(random, whole.set);
    for (CTraining* training : {&whole, &single, &measured}) {
      training->gradients.set_all(values);
      training->gradients.set_absent(static_cast<std::size_t>(step) % 6);
    }
    const auto weights = as_c(whole.weights.refs());
    const auto gradients = as_c(whole.gradients.refs());
    gradstab_step_report report = empty_report();
    ASSERT_TRUE(
        accepted(gradstab_optimizer_step(whole.get(), weights.data(), gradients.data(), 6, step, &report),
                 whole.get()));
    const auto weights_measured = as_c(measured.weights.refs());
    const auto gradients_measured = as_c(measured.gradients.refs());
    for (std::size_t i = 0; i < 6; ++i) {
      ASSERT_TRUE(accepted(gradstab_optimizer_measure_one(measured.get(), i, &gradients_measured[i]),
                           measured.get()));
    }
    ASSERT_TRUE(accepted(gradstab_optimizer_step(measured.get(), weights_measured.data(),
                                                 gradients_measured.data(), 6, step, nullptr),
                         measured.get()));
    ASSERT_EQ(measured.weight_bytes(), whole.weight_bytes()) << step;
    if (!one_by_one) continue;
    const auto weights_single = as_c(single.weights.refs());
    const auto gradients_single = as_c(single.gradients.refs());
    for (std::size_t i = 6; i-- > 0;) {
      gradstab_tensor_report one = {};
      ASSERT_TRUE(accepted(
          gradstab_optimizer_step_one(single.get(), i, &weights_single[i], &gradients_single[i], &one),
          single.get()));
      EXPECT_EQ(one.raw_norm, report.tensors[i].raw_norm);
      EXPECT_EQ(one.norm, report.tensors[i].norm);
      EXPECT_EQ(one.factor, report.tensors[i].factor);
      EXPECT_EQ(one.present, report.tensors[i].present);
      EXPECT_EQ(one.finite, 1);
    }
    ASSERT_EQ(single.weight_bytes(), whole.weight_bytes()) << step;
  }
}

TEST(COptimizerTest, RowsAreReportedWhereAMethodWorksPerRow) {
  gradstab_units units = {};
  units.struct_size = sizeof units;
  units.granularity = GRADSTAB_PER_ROW;
  gradstab_transform* rows = nullptr;
  ASSERT_TRUE(accepted(gradstab_stabilize(nullptr, &units, &rows)));
  const OptimizerHandle optimizer = make_optimizer(SgdOptions{.lr = 1.0}, rows);
  gradstab_optimizer* const o = optimizer.get();
  ASSERT_TRUE(accepted(gradstab_optimizer_init(o, kParameters, 2, nullptr, nullptr, 0), o));
  Weights weights;
  Pair gradients;
  gradients.weight = {3, 4, 0, 0, 6, 8};
  gradients.tensors[0].data = gradients.weight.data();
  gradstab_step_report report = empty_report();
  ASSERT_TRUE(accepted(gradstab_optimizer_step(o, weights.tensors, gradients.tensors, 2, 1, &report), o));
  ASSERT_EQ(report.row_count, 3u);
  EXPECT_EQ(report.rows[0].raw_norm, 5.0);
  EXPECT_EQ(report.rows[1].raw_norm, 10.0);
  EXPECT_EQ(report.first_row[1], 2u);
  EXPECT_NEAR(report.tensors[0].raw_norm, std::sqrt(125.0), 1e-12);
  // Each row of norm 1: the parameter moves by the gradient over its row's norm.
  EXPECT_NEAR(weights.weight[0], 0.1 - 0.6, 1e-6);
  EXPECT_NEAR(weights.weight[5], 0.6 - 0.8, 1e-6);
}

TEST(COptimizerTest, NothingAtAllIsAnOrdinaryCase) {
  const OptimizerHandle optimizer = make_optimizer(AdamOptions{}, make_stabilizer().release());
  gradstab_optimizer* const o = optimizer.get();
  ASSERT_TRUE(accepted(gradstab_optimizer_init(o, nullptr, 0, nullptr, nullptr, 0), o));
  gradstab_step_report report = empty_report();
  EXPECT_TRUE(accepted(gradstab_optimizer_step(o, nullptr, nullptr, 0, 1, &report), o));
  EXPECT_EQ(report.step, 1);
  EXPECT_EQ(report.tensors, nullptr);
}

}  // namespace
}  // namespace gradstab::testing
