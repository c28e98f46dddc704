// Settings: their ranges, their names, and how they may change.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "gradstab/transforms.hpp"
#include "optimizer/kinds.hpp"
#include "optimizer/training.hpp"

namespace gradstab::testing {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
constexpr double kInfinity = std::numeric_limits<double>::infinity();

template <class Options, class Member, class Value>
OptimizerOptions with(Member Options::*member, Value value) {
  Options options;
  options.*member = value;
  return options;
}

void expect_invalid(const OptimizerOptions& options, const std::string& message) {
  const Status status = validate(options);
  EXPECT_EQ(status.code(), StatusCode::invalid_argument);
  EXPECT_EQ(status.message(), message);
  // init says the same, and leaves an optimizer that says that it is not ready.
  Optimizer optimizer(options);
  EXPECT_EQ(optimizer.init(small_model()).message(), message);
  EXPECT_EQ(optimizer.save().status().message(), "save was called before a successful init");
}

template <class Options>
void check_common_ranges() {
  SCOPED_TRACE(name_of(Options{}));
  expect_invalid(with(&Options::lr, -1e-9), "lr must be finite and at least 0, got -1e-09");
  expect_invalid(with(&Options::lr, kNaN), "lr must be finite and at least 0, got nan");
  expect_invalid(with(&Options::lr, kInfinity), "lr must be finite and at least 0, got inf");
  expect_invalid(with(&Options::weight_decay, -0.5), "weight_decay must be finite and at least 0, got -0.5");
  expect_invalid(with(&Options::weight_decay, kNaN), "weight_decay must be finite and at least 0, got nan");
  EXPECT_TRUE(validate(with(&Options::lr, 0.0)).ok());
}

template <class Options>
void check_beta_ranges() {
  SCOPED_TRACE(name_of(Options{}));
  expect_invalid(with(&Options::beta1, 1.0), "beta1 must be in [0, 1), got 1");
  expect_invalid(with(&Options::beta1, -0.1), "beta1 must be in [0, 1), got -0.1");
  expect_invalid(with(&Options::beta1, kNaN), "beta1 must be in [0, 1), got nan");
  expect_invalid(with(&Options::beta2, 1.0), "beta2 must be in [0, 1), got 1");
  expect_invalid(with(&Options::beta2, kNaN), "beta2 must be in [0, 1), got nan");
  EXPECT_TRUE(validate(with(&Options::beta1, 0.0)).ok());
  EXPECT_TRUE(validate(with(&Options::beta2, 0.0)).ok());
}

template <class Options>
void check_epsilon_range() {
  SCOPED_TRACE(name_of(Options{}));
  expect_invalid(with(&Options::epsilon, -1e-8), "epsilon must be finite and at least 0, got -1e-08");
  expect_invalid(with(&Options::epsilon, kInfinity), "epsilon must be finite and at least 0, got inf");
  EXPECT_TRUE(validate(with(&Options::epsilon, 0.0)).ok());
}

TEST(OptimizerOptionsTest, EveryKindRefusesSettingsOutsideTheirRange) {
  check_common_ranges<SgdOptions>();
  check_common_ranges<AdamOptions>();
  check_common_ranges<LionOptions>();
  check_common_ranges<AdamMiniOptions>();
  check_common_ranges<SpamOptions>();
  check_beta_ranges<AdamOptions>();
  check_beta_ranges<LionOptions>();
  check_beta_ranges<AdamMiniOptions>();
  check_beta_ranges<SpamOptions>();
  check_epsilon_range<AdamOptions>();
  check_epsilon_range<AdamMiniOptions>();
  check_epsilon_range<SpamOptions>();
}

TEST(OptimizerOptionsTest, AdamRefusesAResetIntervalThatIsNone) {
  expect_invalid(with(&AdamOptions::reset_interval, -3), "reset_interval must be at least 0, got -3");
  expect_invalid(with(&AdamOptions::compat, static_cast<Compat>(9)),
                 "compat has no such choice, got value 9");
  EXPECT_EQ(AdamOptions::stable_spam().reset_interval, 1000);
  EXPECT_EQ(AdamOptions{}.reset_interval, 0);
}

TEST(OptimizerOptionsTest, SgdRefusesWhatPyTorchRefuses) {
  expect_invalid(with(&SgdOptions::momentum, -0.1), "momentum must be finite and at least 0, got -0.1");
  expect_invalid(with(&SgdOptions::momentum, kNaN), "momentum must be finite and at least 0, got nan");
  expect_invalid(with(&SgdOptions::dampening, kInfinity), "dampening must be finite, got inf");
  expect_invalid(SgdOptions{.nesterov = true},
                 "nesterov needs momentum above 0 and dampening 0, got 0 and 0");
  expect_invalid(SgdOptions{.momentum = 0.9, .dampening = 0.1, .nesterov = true},
                 "nesterov needs momentum above 0 and dampening 0, got 0.9 and 0.1");
  EXPECT_TRUE(validate(SgdOptions{.momentum = 1.5, .dampening = -0.5}).ok());
}

TEST(OptimizerOptionsTest, LionAdamMiniAndSpamCheckTheirOwnSettings) {
  expect_invalid(with(&LionOptions::decay_over_lr, -1.0),
                 "decay_over_lr must be finite and at least 0, got -1");
  expect_invalid(with(&AdamMiniOptions::dim, -1), "dim must be at least 0, got -1");
  expect_invalid(with(&AdamMiniOptions::n_heads, -2), "n_heads must be at least 0, got -2");
  expect_invalid(with(&SpamOptions::threshold, 0.0), "threshold must be above 0, got 0");
  expect_invalid(with(&SpamOptions::threshold, kNaN), "threshold must be above 0, got nan");
  expect_invalid(with(&SpamOptions::reset_interval, -1), "reset_interval must be at least 0, got -1");
  expect_invalid(with(&SpamOptions::warmup_steps, -1), "warmup_steps must be at least 0, got -1");
  expect_invalid(with(&SpamOptions::quiet_steps, -1), "quiet_steps must be at least 0, got -1");
  EXPECT_TRUE(validate(with(&SpamOptions::threshold, kInfinity)).ok());  // never clips
}

TEST(OptimizerOptionsTest, DefaultsAreThoseOfPyTorchAndOfThePapers) {
  EXPECT_EQ(SgdOptions{}.lr, 1e-3);
  EXPECT_EQ(AdamOptions{}.beta1, 0.9);
  EXPECT_EQ(AdamOptions{}.beta2, 0.999);
  EXPECT_EQ(AdamOptions{}.epsilon, 1e-8);
  EXPECT_EQ(AdamOptions{}.weight_decay, 0.0);
  EXPECT_EQ(AdamOptions::adamw().weight_decay, 0.01);
  EXPECT_TRUE(AdamOptions::adamw().decoupled);
  EXPECT_EQ(LionOptions{}.lr, 1e-4);
  EXPECT_EQ(LionOptions{}.beta2, 0.99);
  EXPECT_EQ(SpamOptions{}.epsilon, 1e-6);
  EXPECT_EQ(SpamOptions{}.threshold, 5000.0);
  EXPECT_EQ(SpamOptions{}.reset_interval, 500);
  EXPECT_EQ(SpamOptions{}.warmup_steps, 150);
  EXPECT_EQ(SpamOptions{}.quiet_steps, 20);
}

TEST(OptimizerOptionsTest, NamesTellTheKindAndWhatStandsInFront) {
  EXPECT_EQ(name_of(SgdOptions{}), "sgd");
  EXPECT_EQ(name_of(AdamOptions{}), "adam");
  EXPECT_EQ(name_of(AdamOptions::adamw()), "adamw");
  EXPECT_EQ(name_of(LionOptions{}), "lion");
  EXPECT_EQ(name_of(AdamMiniOptions{}), "adam_mini");
  EXPECT_EQ(name_of(SpamOptions{}), "spam");
  EXPECT_EQ(Optimizer(AdamOptions{}).name(), "adam");
  EXPECT_EQ(Optimizer(LionOptions{}, stabilize()).name(), "stabilize + lion");
  EXPECT_EQ(Optimizer(AdamOptions::adamw(), chain(clip_by_global_norm(1.0), stabilize())).name(),
            "chain(clip_by_global_norm, stabilize) + adamw");
}

TEST(OptimizerOptionsTest, AnInvalidTransformIsReportedByInit) {
  Optimizer optimizer(AdamOptions{}, clip_by_global_norm(-1.0));
  EXPECT_EQ(optimizer.init(small_model()).message(), "max_norm must be finite and above 0, got -1");
  GradientTransform moved = stabilize();
  const GradientTransform taker = std::move(moved);
  Optimizer second(AdamOptions{},
                   std::move(moved));  // NOLINT(bugprone-use-after-move): the point of the test
  EXPECT_EQ(second.init(small_model()).message(), "chain was given a transform that had been moved from");
}

TEST(OptimizerOptionsTest, AnUnknownBackendIsReportedByInit) {
  Optimizer optimizer(AdamOptions{});
  const Status status = optimizer.init(small_model(), {.run = {.backend = "abacus"}});
  EXPECT_EQ(status.code(), StatusCode::invalid_argument);
  EXPECT_NE(status.message().find("abacus"), std::string::npos);
  ASSERT_TRUE(optimizer.init(small_model(), {.run = {.backend = "reference"}}).ok());
  EXPECT_EQ(optimizer.backend_name(), "reference");
}

TEST(OptimizerOptionsTest, EverythingBeforeInitSaysSo) {
  Optimizer optimizer(AdamOptions{});
  const TensorRef none;
  const auto refused = [](const Status& status, const std::string& call) {
    EXPECT_EQ(status.code(), StatusCode::failed_precondition);
    EXPECT_EQ(status.message(), call + " was called before a successful init");
  };
  refused(optimizer.step({}, {}).status(), "step");
  refused(optimizer.can_step_one(), "can_step_one");
  refused(optimizer.measure_one(0, none), "measure_one");
  refused(optimizer.save().status(), "save");
  refused(optimizer.load({}), "load");
  EXPECT_FALSE(optimizer.step_one(0, none, none).ok());
  EXPECT_EQ(optimizer.parameters().size(), 0u);
  refused(optimizer.rebind(small_model()), "rebind");
  refused(optimizer.parameter_state(0).status(), "parameter_state");
  refused(optimizer.set_parameter_state(0, DType::float32, {}), "set_parameter_state");
  EXPECT_EQ(optimizer.report().tensors.size(), 0u);
}

TEST(OptimizerOptionsTest, WhatIsSetBeforeInitIsWhatInitBeginsWith) {
  for (const bool through_lr : {true, false}) {
    Optimizer optimizer(AdamOptions{.lr = 0.5});
    EXPECT_EQ(optimizer.group_count(), 1u);
    EXPECT_EQ(learning_rate(optimizer.options().value()), 0.5);
    if (through_lr) {
      ASSERT_TRUE(optimizer.set_lr(0.125).ok());
      ASSERT_TRUE(optimizer.set_lr(0, 0.25).ok());
    } else {
      EXPECT_EQ(optimizer.set_options(0, LionOptions{}).message(),
                "group 0 is 'adam', got settings of 'lion'");
      ASSERT_TRUE(optimizer.set_options(0, AdamOptions{.lr = 0.25, .decoupled = true}).ok());
      EXPECT_EQ(optimizer.name(), "adamw");
    }
    EXPECT_EQ(learning_rate(optimizer.options().value()), 0.25);
    ASSERT_TRUE(optimizer.init(small_model()).ok());
    EXPECT_EQ(learning_rate(optimizer.options().value()), 0.25);
  }
}

/// A failed init leaves no groups of the one before.
TEST(OptimizerOptionsTest, AfterAFailedInitThereIsTheGroupOfTheBeginning) {
  Optimizer optimizer(AdamOptions{.lr = 0.5});
  const AdamOptions other{.lr = 0.25};
  const ParameterSet two = parameter_set({{"a", {2}}, {"b", {2}}});
  ASSERT_TRUE(optimizer.init(two, {}, {{other, {0}}, {other, {1}}}).ok());
  EXPECT_EQ(optimizer.group_count(), 2u);
  EXPECT_FALSE(optimizer.init(parameter_set({{"a", {2}}}), {.run = {.backend = "abacus"}}).ok());
  EXPECT_EQ(optimizer.group_count(), 1u);
  EXPECT_EQ(learning_rate(optimizer.options().value()), 0.5);
  EXPECT_EQ(optimizer.parameter_state(1).status().message(),
            "parameter_state was called before a successful init");
}

TEST(OptimizerOptionsTest, ALearningRateThatCannotBeIsRefusedAndChangesNothing) {
  const std::pair<double, const char*> bad[] = {
      {kNaN, "nan"}, {-1e-9, "-1e-09"}, {kInfinity, "inf"}, {-kInfinity, "-inf"}};
  Optimizer optimizer(AdamOptions{.lr = 0.5});
  for (const bool initialised : {false, true}) {
    if (initialised) {
      ASSERT_TRUE(optimizer.init(small_model()).ok());
    }
    for (const auto& [lr, text] : bad) {
      const std::string message = std::string("lr must be finite and at least 0, got ") + text;
      EXPECT_EQ(optimizer.set_lr(lr).message(), message);
      EXPECT_EQ(optimizer.set_lr(0, lr).message(), message);
      EXPECT_EQ(optimizer.set_lr(0, lr).code(), StatusCode::invalid_argument);
    }
    EXPECT_EQ(optimizer.set_lr(1, 0.1).message(), "there is no group 1; there are 1");
    EXPECT_EQ(optimizer.options(1).status().message(), "there is no group 1; there are 1");
    EXPECT_EQ(learning_rate(optimizer.options().value()), 0.5);
    EXPECT_TRUE(optimizer.set_lr(0.0).ok());
    EXPECT_TRUE(optimizer.set_lr(0, 0.5).ok());
  }
}

TEST(OptimizerOptionsTest, ASecondInitStartsAfresh) {
  std::mt19937_64 random(3);
  Training training(small_model(), DType::float32, AdamOptions{.lr = 0.1}, stabilize());
  const auto fresh = training.optimizer.save().value();
  training.step(random_gradients(random, training.parameters));
  ASSERT_TRUE(training.optimizer.set_lr(0.5).ok());
  EXPECT_NE(training.optimizer.save().value(), fresh);
  ASSERT_TRUE(training.optimizer.init(training.parameters).ok());
  EXPECT_EQ(training.optimizer.save().value(), fresh);
  EXPECT_EQ(learning_rate(training.optimizer.options().value()), 0.1);
}

TEST(OptimizerOptionsTest, AnOptimizerOverNothingStepsToo) {
  for (const auto policy : {NonFinitePolicy::skip_tensor, NonFinitePolicy::skip_step, NonFinitePolicy::raise,
                            NonFinitePolicy::pass_through}) {
    Optimizer optimizer(AdamOptions{}, stabilize());
    ASSERT_TRUE(optimizer.init(ParameterSet(), {.run = {.nonfinite = policy}}).ok());
    const auto report = optimizer.step({}, {});
    ASSERT_TRUE(report.ok());
    EXPECT_EQ(report->step, 1);
    EXPECT_TRUE(optimizer.load(optimizer.save().value()).ok());
  }
}

}  // namespace
}  // namespace gradstab::testing
