// Adam with a reset interval, and element-wise links in front of an optimizer.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "gradstab/transforms.hpp"
#include "optimizer/training.hpp"

namespace gradstab::testing {
namespace {

AdamOptions resetting(std::int64_t interval, Compat compat) {
  AdamOptions options;
  options.lr = 0.1;
  options.beta1 = 0.8;
  options.beta2 = 0.9;
  options.epsilon = 1e-3;
  options.amsgrad = true;
  options.reset_interval = interval;
  options.compat = compat;
  return options;
}

/// One number in training, with a spike that the reset is to forget.
TEST(AdamResetTest, BothFormsFollowAScalarSimulation) {
  for (const Compat compat : {Compat::robust, Compat::released}) {
    for (const std::int64_t interval : {1, 2, 7, 100}) {
      const AdamOptions o = resetting(interval, compat);
      Training run(parameter_set({{"w", {1}}}), DType::float64, o);
      run.weights.set(0, Values{1.0});
      PlainParameter plain{.value = {1.0}};
      for (int t = 1; t <= 40; ++t) {
        const double gradient = t % 5 == 0 ? 50.0 : 1.0 + 0.1 * std::sin(t);
        run.step({{gradient}});
        plain_step(plain, o, Values{gradient}, t);
        ASSERT_NEAR(run.weights.values(0)[0], plain.value[0], 1e-13)
            << "interval " << interval << ", step " << t;
      }
    }
  }
}

/// Numbers that can be read off the definition: after a reset the next step is as a first one.
TEST(AdamResetTest, AResetStepIsAsTheFirstOne) {
  Training run(parameter_set({{"w", {1}}}), DType::float64, resetting(4, Compat::robust));
  Training fresh(parameter_set({{"w", {1}}}), DType::float64, resetting(0, Compat::robust));
  const double gradients[] = {1.0, 1e3, -5.0, 2.0, 3.0, 0.5};
  for (const double gradient : gradients) {
    run.weights.set(0, Values{1.0});
    run.step({{gradient}});
    if (gradient != 2.0 && gradient != 3.0 && gradient != 0.5) continue;
    fresh.weights.set(0, Values{1.0});
    fresh.step({{gradient}});
    EXPECT_EQ(run.weight_bytes(), fresh.weight_bytes()) << gradient;
  }
}

/// A parameter without gradient in some steps is reset by its own count, whatever the others do.
TEST(AdamResetTest, StepsAreCountedPerParameter) {
  const ParameterSet two = parameter_set({{"a", {1}}, {"b", {1}}});
  Training both(two, DType::float32, resetting(3, Compat::robust));
  Training alone(parameter_set({{"b", {1}}}), DType::float32, resetting(3, Compat::robust));
  both.weights.set_all({{1.0}, {1.0}});
  alone.weights.set(0, Values{1.0});
  for (int t = 1; t <= 20; ++t) {
    both.gradients.set(0, Values{1.0 * t});
    both.gradients.set(1, Values{0.5 * t});
    if (t % 3 == 1) both.gradients.set_absent(1);
    ASSERT_TRUE(both.optimizer.step(both.weights.refs(), both.gradients.refs()).ok());
    if (t % 3 != 1) alone.step({{0.5 * t}});
    EXPECT_EQ(both.weights.values(1), alone.weights.values(0)) << t;
  }
}

/// Between the reset and the step that drops the old moments a run can be saved.
TEST(AdamResetTest, BothFormsResumeExactlyAtEveryStep) {
  for (const Compat compat : {Compat::robust, Compat::released}) {
    const ParameterSet parameters = small_model(3);
    std::mt19937_64 random(5);
    Training whole(parameters, DType::float32, resetting(3, compat));
    for (int step = 0; step < 9; ++step) {
      Training second(parameters, DType::float32, resetting(3, compat));
      ASSERT_TRUE(second.optimizer.load(whole.optimizer.save().value()).ok());
      for (std::size_t i = 0; i < parameters.size(); ++i) second.weights.set(i, whole.weights.values(i));
      const auto gradients = random_gradients(random, parameters);
      whole.step(gradients);
      second.step(gradients);
      ASSERT_EQ(second.weight_bytes(), whole.weight_bytes());
      ASSERT_EQ(second.optimizer.save().value(), whole.optimizer.save().value());
    }
  }
}

/// An element-wise link writes the gradients; a step that is refused or skipped does not.
TEST(ElementWiseLinkTest, WritesTheGradientsOfStepsThatAreTaken) {
  const ParameterSet parameters = parameter_set({{"a", {2}}, {"b", {1}}});
  for (const NonFinitePolicy policy : {NonFinitePolicy::raise, NonFinitePolicy::skip_step}) {
    Training run(parameters, DType::float32, AdamOptions{}, chain(clip_by_value(1.0), stabilize()),
                 {.run = {.nonfinite = policy}});
    run.gradients.set_all({{3.0, 0.5}, {-2.0}});
    ASSERT_TRUE(run.optimizer.step(run.weights.refs(), run.gradients.refs()).ok());
    EXPECT_EQ(run.gradients.values(0), (Values{1.0, 0.5}));
    EXPECT_EQ(run.gradients.values(1), Values{-1.0}) << "the factor of stabilize is folded into the update";

    run.gradients.set_all({{3.0, 0.5}, {std::numeric_limits<double>::infinity()}});
    const auto state = run.optimizer.save().value();
    const auto weights = run.weight_bytes();
    const auto report = run.optimizer.step(run.weights.refs(), run.gradients.refs());
    EXPECT_EQ(report.ok(), policy == NonFinitePolicy::skip_step);
    EXPECT_EQ(run.gradients.values(0), (Values{3.0, 0.5}));
    EXPECT_EQ(run.optimizer.save().value(), state);
    EXPECT_EQ(run.weight_bytes(), weights);
  }
}

TEST(ElementWiseLinkTest, AParameterThatIsRefusedLeavesTheGradientsAlone) {
  const ParameterSet parameters = parameter_set({{"a", {2}}, {"b", {1}}});
  Training run(parameters, DType::float32, AdamOptions{}, chain(clip_by_value(1.0), adaptive_clip()));
  run.gradients.set_all({{3.0, 0.5}, {-2.0}});
  run.weights.mutable_refs()[1].data = nullptr;
  const auto state = run.optimizer.save().value();
  EXPECT_EQ(run.optimizer.step(run.weights.refs(), run.gradients.refs()).status().message(),
            "parameter 'b' has a gradient but no data");
  EXPECT_EQ(run.optimizer.step_one(1, run.weights.refs()[1], run.gradients.refs()[1]).status().message(),
            "parameter 'b' has a gradient but no data");
  EXPECT_EQ(run.gradients.values(0), (Values{3.0, 0.5}));
  EXPECT_EQ(run.gradients.values(1), Values{-2.0});
  EXPECT_EQ(run.optimizer.save().value(), state);
}

}  // namespace
}  // namespace gradstab::testing
