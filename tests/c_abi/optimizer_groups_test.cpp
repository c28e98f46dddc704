// Groups of parameters: their learning rates, their options, and every mistake in them.
#include <gtest/gtest.h>

#include <cstddef>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "optimizer_support.hpp"

namespace gradstab::testing {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
constexpr double kInf = std::numeric_limits<double>::infinity();

TEST(COptimizerGroupsTest, LearningRatesAreReadAndSetBeforeAndAfterInit) {
  const OptimizerHandle optimizer = make_optimizer(AdamOptions{.lr = 0.5}, make_stabilizer().release());
  gradstab_optimizer* const o = optimizer.get();
  std::size_t count = 0;
  EXPECT_TRUE(accepted(gradstab_optimizer_group_count(o, &count), o));
  EXPECT_EQ(count, 1u);
  EXPECT_EQ(lr_of(o), 0.5);
  EXPECT_TRUE(accepted(gradstab_optimizer_set_lr(o, 0.125), o));
  EXPECT_EQ(lr_of(o), 0.125);
  EXPECT_TRUE(accepted(gradstab_optimizer_set_group_lr(o, 0, 0.25), o));
  ASSERT_TRUE(accepted(gradstab_optimizer_init(o, kParameters, 2, nullptr, nullptr, 0), o));
  EXPECT_EQ(lr_of(o), 0.25) << "what was set before init is what it begins with";

  const gradstab_adam_options first = with(adam_options(), &gradstab_adam_options::lr, 0.75);
  const gradstab_adam_options second = with(adam_options(), &gradstab_adam_options::lr, 1.5);
  const std::size_t indices[] = {1, 0};
  const gradstab_optimizer_group groups[] = {{&first.base, indices, 1}, {&second.base, indices + 1, 1}};
  ASSERT_TRUE(accepted(gradstab_optimizer_init(o, kParameters, 2, nullptr, groups, 2), o));
  EXPECT_TRUE(accepted(gradstab_optimizer_group_count(o, &count), o));
  EXPECT_EQ(count, 2u);
  EXPECT_EQ(lr_of(o, 0), 0.75);
  EXPECT_EQ(lr_of(o, 1), 1.5);
  EXPECT_TRUE(accepted(gradstab_optimizer_set_group_lr(o, 1, 0.0), o));
  EXPECT_EQ(lr_of(o, 0), 0.75);
  EXPECT_EQ(lr_of(o, 1), 0.0);
  EXPECT_TRUE(accepted(gradstab_optimizer_set_lr(o, 2.0), o));
  EXPECT_EQ(lr_of(o, 0), 2.0);
  EXPECT_EQ(lr_of(o, 1), 2.0);
}

TEST(COptimizerGroupsTest, LearningRatesThatCannotBeAreRefusedAndChangeNothing) {
  const OptimizerHandle optimizer = make_optimizer(AdamOptions{.lr = 0.5});
  gradstab_optimizer* const o = optimizer.get();
  const std::pair<double, const char*> bad[] = {{kNaN, "nan"}, {-0.5, "-0.5"}, {kInf, "inf"}};
  for (const bool before_init : {true, false}) {
    if (!before_init) {
      ASSERT_TRUE(accepted(gradstab_optimizer_init(o, kParameters, 2, nullptr, nullptr, 0), o));
    }
    for (const auto& [lr, text] : bad) {
      const std::string message = std::string("lr must be finite and at least 0, got ") + text;
      EXPECT_TRUE(refused(gradstab_optimizer_set_lr(o, lr), GRADSTAB_INVALID_ARGUMENT, o, message));
      EXPECT_TRUE(refused(gradstab_optimizer_set_group_lr(o, 0, lr), GRADSTAB_INVALID_ARGUMENT, o, message));
    }
    const std::string no_group = "there is no group 1; there are 1";
    double lr = 7;
    EXPECT_TRUE(refused(gradstab_optimizer_lr(o, 1, &lr), GRADSTAB_INVALID_ARGUMENT, o, no_group));
    EXPECT_EQ(lr, 7.0);
    EXPECT_TRUE(refused(gradstab_optimizer_set_group_lr(o, 1, 0.1), GRADSTAB_INVALID_ARGUMENT, o, no_group));
    EXPECT_TRUE(refused(gradstab_optimizer_lr(o, 0, nullptr), GRADSTAB_INVALID_ARGUMENT, o,
                        "lr is NULL, expected a double"));
    EXPECT_TRUE(refused(gradstab_optimizer_group_count(o, nullptr), GRADSTAB_INVALID_ARGUMENT, o,
                        "count is NULL, expected a size_t"));
    EXPECT_EQ(lr_of(o), 0.5);
  }
}

/// A failed init leaves nothing of the one before, so what is set after it counts for the next.
TEST(COptimizerGroupsTest, AFailedInitLeavesNoGroups) {
  const OptimizerHandle optimizer = make_optimizer(AdamOptions{.lr = 0.5});
  gradstab_optimizer* const o = optimizer.get();
  const gradstab_adam_options own = adam_options();
  const std::size_t both[] = {0, 1};
  const gradstab_optimizer_group groups[] = {{&own.base, both, 2}, {&own.base, nullptr, 0}};
  ASSERT_TRUE(accepted(gradstab_optimizer_init(o, kParameters, 2, nullptr, groups, 2), o));
  EXPECT_EQ(gradstab_optimizer_init(o, nullptr, 2, nullptr, nullptr, 0), GRADSTAB_INVALID_ARGUMENT);
  std::size_t count = 0;
  EXPECT_TRUE(accepted(gradstab_optimizer_group_count(o, &count), o));
  EXPECT_EQ(count, 1u);
  EXPECT_EQ(lr_of(o), 0.5);
  EXPECT_TRUE(accepted(gradstab_optimizer_set_lr(o, 0.25), o));
  ASSERT_TRUE(accepted(gradstab_optimizer_init(o, kParameters, 2, nullptr, nullptr, 0), o));
  EXPECT_EQ(lr_of(o), 0.25);
}

TEST(COptimizerGroupsTest, AllOptionsOfAGroupCanBeSet) {
  const OptimizerHandle optimizer = make_optimizer(AdamOptions{});
  gradstab_optimizer* const o = optimizer.get();
  gradstab_adam_options adamw = adam_options(GRADSTAB_PRESET_ADAMW);
  adamw.lr = 0.25;
  EXPECT_TRUE(accepted(gradstab_optimizer_set_options(o, 0, &adamw.base), o));
  EXPECT_EQ(name_of(o), "adamw") << "before init it is as if it had been made so";
  ASSERT_TRUE(accepted(gradstab_optimizer_init(o, kParameters, 2, nullptr, nullptr, 0), o));
  EXPECT_EQ(lr_of(o), 0.25);
  Weights weights;
  train(o, weights, 1);

  const auto expect_refused_options = [&](const gradstab_optimizer_options* options,
                                          const std::string& message, std::size_t group = 0,
                                          gradstab_status status = GRADSTAB_INVALID_ARGUMENT) {
    EXPECT_TRUE(refused(gradstab_optimizer_set_options(o, group, options), status, o, message));
    EXPECT_EQ(lr_of(o), 0.25);
  };
  const gradstab_sgd_options sgd = sgd_options();
  expect_refused_options(nullptr, "options is NULL, expected those of an optimizer");
  expect_refused_options(&sgd.base, "group 0 is 'adamw', got settings of 'sgd'");
  expect_refused_options(&adamw.base, "there is no group 1; there are 1", 1);
  adamw.lr = kNaN;
  expect_refused_options(&adamw.base, "lr must be finite and at least 0, got nan");
  adamw.lr = 0.125;
  adamw.amsgrad = 1;
  expect_refused_options(&adamw.base,
                         "'weight' has begun to train; momentum and amsgrad cannot be switched any more", 0,
                         GRADSTAB_FAILED_PRECONDITION);
  adamw.base.kind = 77;
  expect_refused_options(&adamw.base, unknown_kind(77));
  adamw.base.kind = GRADSTAB_ADAM;
  adamw.base.struct_size = 16;
  expect_refused_options(&adamw.base,
                         "struct_size of gradstab_adam_options is 16, expected sizeof(gradstab_adam_options) "
                         "= " +
                             std::to_string(sizeof adamw));
}

TEST(COptimizerGroupsTest, AdamMinisDivisionIsSettledByInit) {
  const OptimizerHandle optimizer = make_optimizer(AdamMiniOptions{});
  gradstab_optimizer* const o = optimizer.get();
  ASSERT_TRUE(accepted(gradstab_optimizer_init(o, kParameters, 2, nullptr, nullptr, 0), o));
  const gradstab_adam_mini_override rows = {"weight", GRADSTAB_MINI_ROW, 0};
  gradstab_adam_mini_options options = adam_mini_options();
  options.overrides = &rows;
  options.override_count = 1;
  EXPECT_TRUE(
      refused(gradstab_optimizer_set_options(o, 0, &options.base), GRADSTAB_FAILED_PRECONDITION, o,
              "how 'weight' is divided is settled by init; dim, n_heads and overrides cannot change it "
              "any more"));
}

/// gradstab_optimizer_init and gradstab_optimizer_rebind of kParameters refuse these groups.
void expect_groups_refused(const std::vector<gradstab_optimizer_group>& groups, const std::string& message) {
  const OptimizerHandle optimizer = initialised_optimizer();
  gradstab_optimizer* const o = optimizer.get();
  Weights weights;
  train(o, weights, 2);
  const auto state = saved(o);
  EXPECT_TRUE(refused(gradstab_optimizer_rebind(o, kParameters, 2, groups.data(), groups.size()),
                      GRADSTAB_INVALID_ARGUMENT, o, message));
  EXPECT_EQ(saved(o), state);
  train(o, weights, 1);
  EXPECT_TRUE(refused(gradstab_optimizer_init(o, kParameters, 2, nullptr, groups.data(), groups.size()),
                      GRADSTAB_INVALID_ARGUMENT, o, message));
  EXPECT_TRUE(refused(gradstab_optimizer_can_step_one(o), GRADSTAB_FAILED_PRECONDITION, o,
                      "gradstab_optimizer_can_step_one was called before a successful "
                      "gradstab_optimizer_init"));
}

TEST(COptimizerGroupsTest, EveryMistakeInAGroupIsNamed) {
  const gradstab_adam_options adam = adam_options();
  const gradstab_lion_options lion = lion_options();
  const gradstab_adam_options bad = with(adam_options(), &gradstab_adam_options::beta1, 2.0);
  gradstab_adam_options unfilled = {};
  const std::size_t both[] = {0, 1};
  const std::size_t twice[] = {0, 1, 0};
  const std::size_t outside[] = {0, 2};
  expect_groups_refused({{&adam.base, both, 1}}, "parameter 1 is in no group");
  expect_groups_refused({{&adam.base, both, 2}, {&adam.base, both + 1, 1}},
                        "parameter 1 is in groups 0 and 1");
  expect_groups_refused({{&adam.base, twice, 3}}, "parameter 0 is in groups 0 and 0");
  expect_groups_refused({{&adam.base, outside, 2}}, "group 0 names parameter 2 of 2");
  expect_groups_refused({{&adam.base, both, 1}, {&lion.base, both + 1, 1}},
                        "group 1 has settings of 'lion', expected 'adamw'");
  expect_groups_refused({{&adam.base, both, 1}, {&bad.base, both + 1, 1}},
                        "group 1: beta1 must be in [0, 1), got 2");
  expect_groups_refused({{nullptr, both, 2}}, "options of group 0 is NULL, expected those of an optimizer");
  expect_groups_refused({{&adam.base, nullptr, 2}}, "parameters of group 0 is NULL, expected an array of 2");
  expect_groups_refused({{&unfilled.base, both, 2}}, "group 0: " + unknown_kind(0));
  const OptimizerHandle optimizer = initialised_optimizer();
  EXPECT_TRUE(refused(gradstab_optimizer_rebind(optimizer.get(), kParameters, 2, nullptr, 3),
                      GRADSTAB_INVALID_ARGUMENT, optimizer.get(), "groups is NULL, expected an array of 3"));
}

}  // namespace
}  // namespace gradstab::testing
