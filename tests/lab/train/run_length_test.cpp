// Updates and epochs.
#include "lab/train/run_length.hpp"

#include <gtest/gtest.h>

namespace gradstab::lab {
namespace {

TEST(RunLengthTest, WithoutEpochsUpdatesCount) {
  const RunLength length = run_length(TrainOptions(), 0).value();
  EXPECT_EQ(length.steps, 1000);
  EXPECT_EQ(length.eval_every, 100);
  EXPECT_EQ(length.schedule.steps, 1000);
  EXPECT_EQ(length.schedule.warmup, 100);
}

TEST(RunLengthTest, EpochsAreTheTasks) {
  TrainOptions options;
  options.epochs = 20;
  options.warmup_epochs = 5;
  options.eval_every = 0;
  options.checkpoint_every = 0;
  options.schedule = "step";
  const RunLength length = run_length(options, 64).value();
  EXPECT_EQ(length.steps, 1280);
  EXPECT_EQ(length.schedule.warmup, 320);
  EXPECT_EQ(length.eval_every, 64);
  EXPECT_EQ(length.checkpoint_every, 64);
  EXPECT_EQ(length.schedule.epoch, 64);
}

TEST(RunLengthTest, WhatATaskWithoutEpochsCannotDoIsNamed) {
  const auto refused = [](auto change) {
    TrainOptions options;
    change(options);
    return run_length(options, 0).status().message();
  };
  const std::string why = ": this task has no epochs; its length is given in updates";
  EXPECT_EQ(refused([](TrainOptions& options) { options.epochs = 1; }), "epochs" + why);
  EXPECT_EQ(refused([](TrainOptions& options) { options.warmup_epochs = 1; }), "warmup_epochs" + why);
  EXPECT_EQ(refused([](TrainOptions& options) { options.lr_per_epoch = true; }), "lr_per_epoch" + why);
  EXPECT_EQ(refused([](TrainOptions& options) { options.eval_every = 0; }), "eval_every 0" + why);
  EXPECT_EQ(refused([](TrainOptions& options) { options.schedule = "exponential"; }), "this schedule" + why);
  EXPECT_EQ(refused([](TrainOptions&) {}), "") << "the control";
}

TEST(RunLengthTest, AWarmUpIsShorterThanTheRun) {
  TrainOptions options;
  options.epochs = 5;
  options.warmup_epochs = 5;
  EXPECT_EQ(run_length(options, 10).status().message(),
            "warmup_epochs must be shorter than the run, which has 50 updates, got 50 updates");
  options.epochs = 6;
  EXPECT_TRUE(run_length(options, 10).ok());
}

}  // namespace
}  // namespace gradstab::lab
