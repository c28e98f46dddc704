#include "lab/reproduce/measures.hpp"

#include <gtest/gtest.h>

#include <limits>

#include "test_records.hpp"

namespace gradstab::lab {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

double measured(Measure measure, const std::vector<ItemRun>& runs) {
  std::vector<const ItemRun*> pointers;
  for (const ItemRun& run : runs) pointers.push_back(&run);
  return measure(pointers);
}

TEST(MeasuresTest, LossesOverContexts) {
  const std::vector<ItemRun> runs = {finished_run("a", 0, 2.0), finished_run("a", 0, 2.5),
                                     finished_run("a", 0, 3.3)};
  EXPECT_DOUBLE_EQ(measured(mean_loss, runs), 2.6);
  EXPECT_DOUBLE_EQ(measured(best_loss, runs), 2.0);
  EXPECT_DOUBLE_EQ(measured(worst_loss, runs), 3.3);
  EXPECT_DOUBLE_EQ(measured(loss_range, runs), 3.3 - 2.0);
  EXPECT_DOUBLE_EQ(measured(excess_loss, runs), 2.6 - 2.0);
  EXPECT_EQ(measured(divergence_count, runs), 0.0);
}

TEST(MeasuresTest, WhatIsNotThereIsNotInvented) {
  std::vector<ItemRun> runs = {finished_run("a", 0, 2.0), finished_run("a", 0, 2.5)};
  runs[1].state = "pending";
  for (const Measure measure : {mean_loss, best_loss, worst_loss, loss_range, excess_loss, norm_spike_count,
                                loss_spike_count, divergence_count})
    EXPECT_TRUE(std::isnan(measured(measure, runs)));
  for (const Measure measure : {mean_loss, best_loss, norm_spike_count, divergence_count, recovery_updates})
    EXPECT_TRUE(std::isnan(measured(measure, {})));
}

TEST(MeasuresTest, DivergedAndFailedRunsAreCountedAndCapped) {
  std::vector<ItemRun> runs = {finished_run("a", 0, kNaN), finished_run("a", 0, 9.0),
                               finished_run("a", 0, 2.0)};
  runs[2].state = "failed";
  EXPECT_EQ(measured(divergence_count, runs), 3.0);
  EXPECT_DOUBLE_EQ(measured(mean_loss, runs), std::log(256.0));
}

ItemRun with_series(std::vector<double> losses, std::vector<double> norms) {
  ItemRun run = finished_run("a", 0, 2.0);
  run.training_loss = std::move(losses);
  run.grad_norm = std::move(norms);
  return run;
}

TEST(MeasuresTest, ASpikeStandsOutFromTheFiftyBefore) {
  std::vector<double> norms(100, 1.0);
  norms[19] = 100.0;  // only 19 before it: not judged
  norms[60] = 3.0;    // not more than 3 times the median
  norms[70] = 3.01;
  norms[80] = kNaN;
  std::vector<double> losses(100, 2.0);
  losses[50] = 2.5;
  losses[51] = 2.51;
  losses[90] = kNaN;
  const ItemRun run = with_series(losses, norms);
  EXPECT_EQ(measured(norm_spike_count, {run}), 2.0);
  EXPECT_TRUE(is_norm_spike(run, 70));
  EXPECT_TRUE(is_norm_spike(run, 80));
  EXPECT_FALSE(is_norm_spike(run, 60));
  EXPECT_EQ(measured(loss_spike_count, {run}), 2.0);
  EXPECT_TRUE(is_loss_spike(run, 51));
  EXPECT_TRUE(is_loss_spike(run, 90));
  EXPECT_FALSE(is_loss_spike(run, 50));
}

TEST(MeasuresTest, ALevelThatStaysIsNoSpikeForLong) {
  std::vector<double> norms(200, 1.0);
  for (std::size_t i = 100; i < 200; ++i) norms[i] = 10.0;
  // Until the median of the 50 before has moved.
  EXPECT_EQ(measured(norm_spike_count, {with_series(std::vector<double>(200, 2.0), norms)}), 25.0);
}

TEST(MeasuresTest, RecoveryIsCountedFromTheInjectedSpike) {
  std::vector<double> losses(100, 2.0);
  for (std::size_t i = 41; i < 48; ++i) losses[i] = 3.0;  // seven bad updates after update 41
  ItemRun run = with_series(losses, std::vector<double>(100, 1.0));
  run.options.inject_spikes = "41:1000";
  EXPECT_EQ(measured(recovery_updates, {run}), 7.0);
  run.options.inject_spikes = "41:1000,90:10";  // the second costs nothing
  EXPECT_EQ(measured(recovery_updates, {run}), 3.5);
  run.options.inject_spikes = "";
  EXPECT_TRUE(std::isnan(measured(recovery_updates, {run}))) << "no spike, nothing to recover from";
}

TEST(MeasuresTest, NoRecoveryLastsUntilTheEnd) {
  std::vector<double> losses(100, 2.0);
  for (std::size_t i = 41; i < 100; ++i) losses[i] = 3.0;
  ItemRun run = with_series(losses, std::vector<double>(100, 1.0));
  run.options.inject_spikes = "41:1000";
  EXPECT_EQ(measured(recovery_updates, {run}), 60.0);
}

}  // namespace
}  // namespace gradstab::lab
