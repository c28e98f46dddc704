// Learning rates: by hand, and for one_cycle by PyTorch's OneCycleLR.
#include "lab/train/schedule.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <numbers>

namespace gradstab::lab {
namespace {

TEST(ScheduleTest, CosineIsThatOfTheKeptRuns) {
  const Schedule schedule{.peak = 0.01, .warmup = 20, .steps = 300, .min_ratio = 0.1};
  EXPECT_EQ(schedule.at(0), 0.0) << "as in the published code";
  EXPECT_EQ(schedule.at(7), 0.01 * 7.0 / 20.0);
  EXPECT_EQ(schedule.at(20), 0.01);
  const double progress = (160.0 - 20.0) / 280.0;
  EXPECT_EQ(schedule.at(160), 0.01 * (0.1 + 0.9 * 0.5 * (1.0 + std::cos(std::numbers::pi * progress))));
  EXPECT_NEAR(schedule.at(300), 0.001, 1e-18);
  EXPECT_EQ(schedule.at(10000), schedule.at(300));
}

TEST(ScheduleTest, WarmUpMayBeginAboveZero) {
  const Schedule schedule{
      .kind = ScheduleKind::constant, .peak = 2.0, .warmup = 10, .warmup_start = 0.1, .steps = 100};
  EXPECT_DOUBLE_EQ(schedule.at(0), 0.2);
  EXPECT_DOUBLE_EQ(schedule.at(5), 2.0 * (0.1 + 0.9 * 0.5));
  EXPECT_EQ(schedule.at(10), 2.0);
  EXPECT_EQ(schedule.at(99), 2.0);
}

TEST(ScheduleTest, AWarmUpCanStayWhereItBegins) {
  Schedule schedule{
      .kind = ScheduleKind::constant, .peak = 2.0, .warmup = 10, .warmup_start = 0.04, .steps = 100};
  schedule.warmup_hold = true;
  EXPECT_EQ(schedule.at(0), 0.08);
  EXPECT_EQ(schedule.at(9), 0.08);
  EXPECT_EQ(schedule.at(10), 2.0);
}

TEST(ScheduleTest, LinearEndsWhereItIsTold) {
  const Schedule schedule{.kind = ScheduleKind::linear, .peak = 3e-4, .steps = 1500, .min_ratio = 0.0};
  EXPECT_EQ(schedule.at(0), 3e-4);
  EXPECT_DOUBLE_EQ(schedule.at(375), 3e-4 * 0.75);
  EXPECT_EQ(schedule.at(1500), 0.0);
}

// PPO's recipe: collect u of n has 1 - u/n of the rate, in all of its updates.
TEST(ScheduleTest, PerEpochAllUpdatesOfAnEpochHaveTheRateOfItsFirst) {
  Schedule schedule{.kind = ScheduleKind::linear, .peak = 3e-4, .steps = 1500 * 320, .min_ratio = 0.0};
  schedule.epoch = 320;
  EXPECT_LT(schedule.at(319), 3e-4) << "the control";
  schedule.per_epoch = true;
  EXPECT_EQ(schedule.at(0), 3e-4);
  EXPECT_EQ(schedule.at(319), 3e-4);
  for (const std::int64_t u : {1, 2, 750, 1499}) {
    EXPECT_DOUBLE_EQ(schedule.at(u * 320), 3e-4 * (1.0 - static_cast<double>(u) / 1500.0));
    EXPECT_EQ(schedule.at(u * 320 + 319), schedule.at(u * 320));
  }
}

TEST(ScheduleTest, StepDecaysEverySoManyEpochs) {
  const Schedule schedule{
      .kind = ScheduleKind::step, .peak = 0.1, .steps = 9000, .factor = 0.1, .epoch = 100, .decay_every = 30};
  EXPECT_EQ(schedule.at(2999), 0.1);
  EXPECT_DOUBLE_EQ(schedule.at(3000), 0.01);
  EXPECT_DOUBLE_EQ(schedule.at(5999), 0.01);
  EXPECT_DOUBLE_EQ(schedule.at(6000), 0.001);
}

// PatchTST's "type3": after epoch e, counted from 1, the rate becomes the peak for e below 3, else 0.9^(e -
// 3) of it.
TEST(ScheduleTest, ExponentialBeginsAfterSomeEpochs) {
  const Schedule schedule{.kind = ScheduleKind::exponential,
                          .peak = 1e-4,
                          .steps = 1000,
                          .factor = 0.9,
                          .epoch = 64,
                          .decay_from = 3};
  EXPECT_EQ(schedule.at(0), 1e-4);
  for (const std::int64_t finished : {1, 2, 3, 4, 14}) {
    const double rate = finished < 3 ? 1e-4 : 1e-4 * std::pow(0.9, finished - 3);
    EXPECT_DOUBLE_EQ(schedule.at(64 * finished), rate);
    EXPECT_DOUBLE_EQ(schedule.at(64 * finished + 63), rate);
  }
}

// torch.optim.lr_scheduler.OneCycleLR(max_lr=1, total_steps=10, pct_start=0.3): its first phase ends at 0.3 *
// 10 - 1.
TEST(ScheduleTest, OneCycleRisesAndFalls) {
  const Schedule schedule{.kind = ScheduleKind::one_cycle, .peak = 1.0, .steps = 10, .rise = 0.3};
  EXPECT_NEAR(schedule.at(0), 0.04, 1e-15);
  EXPECT_DOUBLE_EQ(schedule.at(1), 0.52) << "half way in half a cosine";
  EXPECT_DOUBLE_EQ(schedule.at(2), 1.0);
  const double last = 0.04 / 1e4;
  EXPECT_NEAR(schedule.at(9), last, 1e-15);
  EXPECT_NEAR(schedule.at(5), last + (1.0 - last) * 0.5 * (1.0 + std::cos(std::numbers::pi * 3.0 / 7.0)),
              1e-15);
  EXPECT_EQ(schedule.at(50), schedule.at(9));
}

TEST(ScheduleTest, EveryNameIsOneOfThem) {
  for (const ScheduleKind kind : kSchedules) EXPECT_EQ(schedule_named(to_string(kind)), kind);
  EXPECT_FALSE(schedule_named("cos"));
}

}  // namespace
}  // namespace gradstab::lab
