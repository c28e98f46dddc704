// Parameter groups: how they divide the parameters, and how their settings change.
#include <gtest/gtest.h>

#include "gradstab/transforms.hpp"
#include "optimizer/kinds.hpp"
#include "optimizer/training.hpp"

namespace gradstab::testing {
namespace {

ParameterSet three() {
  return parameter_set({{"a", {2}}, {"b", {2}}, {"c", {2}}});
}

std::string refusal(std::vector<OptimizerGroup> groups) {
  Optimizer optimizer(AdamOptions{});
  const Status status = optimizer.init(three(), {}, std::move(groups));
  EXPECT_EQ(status.code(), StatusCode::invalid_argument);
  return status.message();
}

TEST(OptimizerGroupsTest, GroupsMustPartitionTheParameters) {
  const AdamOptions adam;
  EXPECT_EQ(refusal({{adam, {0, 1}}}), "parameter 2 is in no group");
  EXPECT_EQ(refusal({{adam, {0, 1}}, {adam, {2, 1}}}), "parameter 1 is in groups 0 and 1");
  EXPECT_EQ(refusal({{adam, {0, 1, 2, 0}}}), "parameter 0 is in groups 0 and 0");
  EXPECT_EQ(refusal({{adam, {0, 1, 2, 3}}}), "group 0 names parameter 3 of 3");
  EXPECT_EQ(refusal({{adam, {}}}), "parameter 0 is in no group");
}

TEST(OptimizerGroupsTest, GroupsAreOfOneKindAndTheirSettingsAreChecked) {
  EXPECT_EQ(refusal({{AdamOptions{}, {0, 1}}, {LionOptions{}, {2}}}),
            "group 1 has settings of 'lion', expected 'adam'");
  EXPECT_EQ(refusal({{AdamOptions{.beta1 = 2.0}, {0, 1, 2}}}), "beta1 must be in [0, 1), got 2");
}

TEST(OptimizerGroupsTest, AdamAndAdamWMayBeMixed) {
  Optimizer optimizer(AdamOptions{});
  EXPECT_TRUE(optimizer.init(three(), {}, {{AdamOptions{}, {0}}, {AdamOptions::adamw(), {1, 2}}}).ok());
  EXPECT_EQ(optimizer.group_count(), 2u);
  EXPECT_TRUE(std::get<AdamOptions>(optimizer.options(1).value()).decoupled);
}

TEST(OptimizerGroupsTest, AnEmptyGroupAmongOthersIsFine) {
  Optimizer optimizer(AdamOptions{});
  EXPECT_TRUE(optimizer.init(three(), {}, {{AdamOptions{}, {2, 0, 1}}, {AdamOptions{}, {}}}).ok());
}

/// One plain SGD step on gradient 1: p moves by the group's own learning rate.
TEST(OptimizerGroupsTest, EveryParameterMovesByItsGroupsSettings) {
  Training training(three(), DType::float64, DType::float64, SgdOptions{}, {}, {},
                    {{SgdOptions{.lr = 0.5}, {1}}, {SgdOptions{.lr = 0.25}, {2, 0}}});
  training.weights.set_all({{0, 0}, {0, 0}, {0, 0}});
  training.step({{1, 2}, {1, 2}, {1, 2}});
  EXPECT_EQ(training.weights.values(), (std::vector<Values>{{-0.25, -0.5}, {-0.5, -1}, {-0.25, -0.5}}));
  ASSERT_TRUE(training.optimizer.set_lr(1.0).ok());
  training.step({{1, 2}, {1, 2}, {1, 2}});
  EXPECT_EQ(training.weights.values(), (std::vector<Values>{{-1.25, -2.5}, {-1.5, -3}, {-1.25, -2.5}}));
  ASSERT_TRUE(training.optimizer.set_options(0, SgdOptions{.lr = 0.125}).ok());
  training.step({{1, 2}, {1, 2}, {1, 2}});
  EXPECT_EQ(training.weights.values(), (std::vector<Values>{{-2.25, -4.5}, {-1.625, -3.25}, {-2.25, -4.5}}));
}

TEST(SetOptionsTest, RefusesUnknownGroupsOtherKindsAndInvalidSettings) {
  Training training(three(), DType::float32, AdamOptions{.lr = 0.5});
  Optimizer& optimizer = training.optimizer;
  EXPECT_EQ(optimizer.set_options(1, AdamOptions{}).message(), "there is no group 1; there are 1");
  EXPECT_EQ(optimizer.set_options(0, SgdOptions{}).message(), "group 0 is 'adam', got settings of 'sgd'");
  EXPECT_EQ(optimizer.set_options(0, AdamOptions{.lr = -1}).message(),
            "lr must be finite and at least 0, got -1");
  EXPECT_EQ(learning_rate(optimizer.options().value()), 0.5) << "a refused change must change nothing";
}

TEST(SetOptionsTest, MomentumAndAmsgradMaySwitchBeforeTheFirstStepOnly) {
  std::mt19937_64 random(1);
  struct Case {
    OptimizerOptions from, to;
  };
  const Case cases[] = {{SgdOptions{}, SgdOptions{.momentum = 0.9}},
                        {SgdOptions{.momentum = 0.9}, SgdOptions{}},
                        {AdamOptions{}, AdamOptions{.amsgrad = true}},
                        {AdamOptions{.amsgrad = true}, AdamOptions{}}};
  for (const Case& c : cases) {
    Training switched(three(), DType::float32, c.from);
    Training made_so(three(), DType::float32, c.to);
    ASSERT_TRUE(switched.optimizer.set_options(0, c.to).ok());
    const auto gradients = random_gradients(random, three());
    for (int step = 0; step < 3; ++step) {
      switched.step(gradients);
      made_so.step(gradients);
    }
    EXPECT_EQ(switched.weight_bytes(), made_so.weight_bytes());
    const Status status = switched.optimizer.set_options(0, c.from);
    EXPECT_EQ(status.code(), StatusCode::failed_precondition);
    EXPECT_EQ(status.message(), "'a' has begun to train; momentum and amsgrad cannot be switched any more");
    switched.step(gradients);
    made_so.step(gradients);
    EXPECT_EQ(switched.weight_bytes(), made_so.weight_bytes()) << "a refused change must change nothing";
  }
}

TEST(SetOptionsTest, NesterovBetasDecayAndDecouplingMayChangeAtAnyTime) {
  Training sgd(three(), DType::float64, SgdOptions{.lr = 0.5, .momentum = 0.5});
  sgd.weights.set_all({{0, 0}, {0, 0}, {0, 0}});
  sgd.step({{1, 1}, {1, 1}, {1, 1}});  // buffer 1, p -0.5
  ASSERT_TRUE(sgd.optimizer.set_options(0, SgdOptions{.lr = 0.5, .momentum = 0.25, .nesterov = true}).ok());
  sgd.step({{2, 2}, {2, 2}, {2, 2}});  // buffer 0.25 + 2 = 2.25, p -= 0.5 (2 + 0.5625)
  EXPECT_EQ(sgd.weights.values(0), (Values{-1.78125, -1.78125}));

  Training adam(three(), DType::float64, AdamOptions{});
  adam.step({{1, 1}, {1, 1}, {1, 1}});
  EXPECT_TRUE(adam.optimizer.set_options(0, AdamOptions::adamw()).ok());
  EXPECT_TRUE(adam.optimizer.set_options(0, AdamOptions{.beta1 = 0.5, .epsilon = 1e-3}).ok());
}

/// Which numbers share a second moment is settled when state is laid out; a change that went unnoticed would
/// leave a momentum without any second moment.
TEST(SetOptionsTest, AdamMinisPartitionCannotChange) {
  AdamMiniOptions options = std::get<AdamMiniOptions>(kind("adam_mini"));
  Training training(small_model(), DType::float32, options);
  AdamMiniOptions changed = options;
  changed.overrides = {{"norm.weight", AdamMiniUnit::element}};
  const Status status = training.optimizer.set_options(0, changed);
  EXPECT_EQ(status.code(), StatusCode::failed_precondition);
  EXPECT_EQ(
      status.message(),
      "how 'norm.weight' is divided is settled by init; dim, n_heads and overrides cannot change it any "
      "more");
  changed = options;
  changed.n_heads = 4;
  EXPECT_EQ(training.optimizer.set_options(0, changed).code(), StatusCode::failed_precondition);
  changed = options;
  changed.lr = 0.5;
  changed.overrides = {{"norm.weight", AdamMiniUnit::tensor}};  // what it is anyway
  EXPECT_TRUE(training.optimizer.set_options(0, changed).ok());
  EXPECT_EQ(learning_rate(training.optimizer.options().value()), 0.5);
}

TEST(SetOptionsTest, PerRowTransformsDoNotDisturbAChangeOfSettings) {
  Training training(small_model(), DType::float32, AdamOptions{}, stabilize({}, Units::per_row()));
  EXPECT_TRUE(training.optimizer.set_options(0, AdamOptions{.lr = 0.1}).ok());
}

}  // namespace
}  // namespace gradstab::testing
