// SPAM: when it clips, resets and warms up again.
#include <gtest/gtest.h>

#include <cmath>

#include "optimizer/training.hpp"

namespace gradstab::testing {
namespace {

struct Schedule {
  std::int64_t interval, warmup, quiet;

  friend std::ostream& operator<<(std::ostream& out, const Schedule& s) {
    return out << s.interval << "_" << s.warmup << "_" << s.quiet;
  }
};

class SpamScheduleTest : public ::testing::TestWithParam<Schedule> {
 protected:
  SpamOptions options() const {
    SpamOptions options;
    options.lr = 0.1;
    options.beta1 = 0.8;
    options.beta2 = 0.9;
    options.epsilon = 1e-3;
    options.weight_decay = 0.3;
    options.threshold = 4.0;
    options.reset_interval = GetParam().interval;
    options.warmup_steps = GetParam().warmup;
    options.quiet_steps = GetParam().quiet;
    return options;
  }
};

/// One number in training, with a spike every seventh step that clipping must catch where it is on.
TEST_P(SpamScheduleTest, ClippingResetsAndWarmUpFollowAScalarSimulation) {
  const SpamOptions o = options();
  SpamSchedule schedule(o);
  Training run(parameter_set({{"w", {1}}}), DType::float64, o);
  run.weights.set(0, Values{1.0});
  double p = 1.0, m = 0.0, v = 0.0;
  int clipping = 0, resets = 0, warm = 0;
  for (int t = 1; t <= 60; ++t) {
    const double raw = t % 7 == 0 ? 50.0 : 1.0 + 0.1 * std::sin(t);
    run.step({{raw}});
    const auto now = schedule.next();
    if (now.resets) m = v = 0.0;
    double g = raw;
    if (now.clips && g * g > o.threshold * v) g = std::sqrt(o.threshold * v);
    clipping += now.clips;
    resets += now.resets;
    warm += now.scale < 1.0;
    m = o.beta1 * m + (1 - o.beta1) * g;
    v = o.beta2 * v + (1 - o.beta2) * g * g;
    p -= now.scale * o.lr * std::sqrt(1 - std::pow(o.beta2, t)) / (1 - std::pow(o.beta1, t)) * m /
         (std::sqrt(v) + o.epsilon);
    p *= 1 - o.lr * o.weight_decay;
    ASSERT_NEAR(run.weights.values(0)[0], p, 1e-13) << "step " << t;
    const auto state = run.optimizer.parameter_state(0).value();
    ASSERT_NEAR(state.values[0][0], m, 1e-13 * std::fabs(m));
    ASSERT_NEAR(state.values[1][0], v, 1e-13 * v);
  }
  const Schedule s = GetParam();
  EXPECT_EQ(resets, s.interval == 0 ? 0 : 60 / s.interval);
  EXPECT_EQ(warm > 0, s.interval > 0 && s.interval <= 60 && s.warmup > 0);
  EXPECT_EQ(clipping > 0, s.quiet < 60 && (s.interval == 0 || s.quiet < s.interval));
}

INSTANTIATE_TEST_SUITE_P(Some, SpamScheduleTest,
                         ::testing::Values(Schedule{10, 4, 3}, Schedule{10, 20, 3}, Schedule{7, 0, 0},
                                           Schedule{10, 4, 10}, Schedule{0, 5, 2}, Schedule{1, 3, 0},
                                           Schedule{1, 3, 1}, Schedule{1, 0, 1}, Schedule{2, 2, 1},
                                           Schedule{13, 13, 12}, Schedule{100, 5, 70}),
                         [](const auto& test) {
                           return "Every" + std::to_string(test.param.interval) + "Warm" +
                                  std::to_string(test.param.warmup) + "Quiet" +
                                  std::to_string(test.param.quiet);
                         });

/// Numbers that can be read off the definition: interval 4, warm-up 2.
TEST(SpamTest, TheLearningRateDropsToAHundredthAtAResetAndRises) {
  SpamOptions options;
  options.reset_interval = 4;
  options.warmup_steps = 2;
  SpamSchedule schedule(options);
  const double third = std::cos(std::acos(-1.0) / 3);
  const double expected[] = {1, 1, 1, 0.01, 1 - 0.99 * (1 + third) / 2, 1, 1, 0.01};
  for (const double scale : expected) EXPECT_NEAR(schedule.next().scale, scale, 1e-15);
}

/// The library counts on from a saved state.
TEST(SpamTest, TheScheduleIsPartOfTheState) {
  SpamOptions options;
  options.reset_interval = 5;
  options.warmup_steps = 3;
  options.quiet_steps = 1;
  options.threshold = 2.0;
  const ParameterSet parameters = small_model(3);
  std::mt19937_64 random(6);
  Training whole(parameters, DType::float32, options);
  for (int step = 0; step < 7; ++step) whole.step(random_gradients(random, parameters));
  Training second(parameters, DType::float32, options);
  ASSERT_TRUE(second.optimizer.load(whole.optimizer.save().value()).ok());
  for (std::size_t i = 0; i < parameters.size(); ++i) second.weights.set(i, whole.weights.values(i));
  for (int step = 0; step < 7; ++step) {
    const auto gradients = random_gradients(random, parameters);
    whole.step(gradients);
    second.step(gradients);
    ASSERT_EQ(second.weight_bytes(), whole.weight_bytes());
  }
}

TEST(SpamTest, AnEntryWithoutSecondMomentIsClippedToZeroAsInTheAuthorsCode) {
  SpamOptions options;
  options.quiet_steps = 0;
  options.reset_interval = 0;
  Training run(parameter_set({{"w", {1}}}), DType::float32, options);
  run.weights.set(0, Values{1.0});
  run.step({{5.0}});
  EXPECT_EQ(run.weights.values(0)[0], 1.0);
}

}  // namespace
}  // namespace gradstab::testing
