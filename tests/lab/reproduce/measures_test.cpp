#include "lab/reproduce/measures.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>

#include "test_records.hpp"
#include "tests/lab/llm_options.hpp"

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
  EXPECT_DOUBLE_EQ(measured(mean_score, runs), 2.6);
  EXPECT_DOUBLE_EQ(measured(best_score, runs), 2.0);
  EXPECT_DOUBLE_EQ(measured(worst_score, runs), 3.3);
  EXPECT_DOUBLE_EQ(measured(score_range, runs), 3.3 - 2.0);
  EXPECT_DOUBLE_EQ(measured(excess_score, runs), 2.6 - 2.0);
  EXPECT_EQ(measured(divergence_count, runs), 0.0);
}

TEST(MeasuresTest, WhatIsNotThereIsNotInvented) {
  std::vector<ItemRun> runs = {finished_run("a", 0, 2.0), finished_run("a", 0, 2.5)};
  runs[1].state = "pending";
  for (const Measure measure : {mean_score, best_score, worst_score, score_range, excess_score,
                                norm_spike_count, loss_spike_count, divergence_count})
    EXPECT_TRUE(std::isnan(measured(measure, runs)));
  for (const Measure measure : {mean_score, best_score, norm_spike_count, divergence_count, lost_updates})
    EXPECT_TRUE(std::isnan(measured(measure, {})));
}

TEST(MeasuresTest, DivergedAndFailedRunsAreCountedAndCapped) {
  std::vector<ItemRun> runs = {finished_run("a", 0, kNaN), finished_run("a", 0, 9.0),
                               finished_run("a", 0, 2.0)};
  runs[2].state = "failed";
  EXPECT_EQ(measured(divergence_count, runs), 3.0);
  EXPECT_DOUBLE_EQ(measured(mean_score, runs), std::log(256.0));
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

/// Losses that fall by 0.01 with every update.
ItemRun falling_run(std::size_t updates, const std::string& injected) {
  std::vector<double> losses;
  for (std::size_t i = 0; i < updates; ++i) losses.push_back(5.0 - 0.01 * static_cast<double>(i));
  ItemRun run = with_series(losses, std::vector<double>(updates, 1.0));
  run.options.inject_spikes = injected;
  return run;
}

TEST(MeasuresTest, LostUpdatesAreThoseOfTheUndisturbedRun) {
  const ItemRun reference = falling_run(300, "");
  ItemRun disturbed = falling_run(300, "41:1000");
  EXPECT_EQ(measured(lost_updates, {reference, disturbed}), 0.0);
  // Stands still for 70 updates in the middle, and so ends 0.7 above.
  for (std::size_t i = 100; i < 300; ++i) disturbed.training_loss[i] += 0.01 * std::min<double>(70, i - 99.0);
  EXPECT_EQ(measured(lost_updates, {reference, disturbed}), 70.0);
  EXPECT_EQ(measured(lost_updates, {disturbed, reference}), 70.0);
  EXPECT_EQ(measured(lost_updates, {reference, disturbed, falling_run(300, "41:10")}), 35.0)
      << "mean over those with spikes";
}

TEST(MeasuresTest, ADivergedRunHasLostEveryUpdate) {
  const ItemRun reference = falling_run(300, "");
  ItemRun disturbed = falling_run(300, "41:1000");
  for (std::size_t i = 250; i < 300; ++i) disturbed.training_loss[i] = kNaN;
  EXPECT_EQ(measured(lost_updates, {reference, disturbed}), 251.0) << "all that have 50 losses";
  disturbed.training_loss.resize(100);
  EXPECT_EQ(measured(lost_updates, {reference, disturbed}), 251.0);
}

TEST(MeasuresTest, LostUpdatesNeedOneRunWithoutSpikes) {
  const ItemRun reference = falling_run(300, "");
  const ItemRun disturbed = falling_run(300, "41:1000");
  EXPECT_TRUE(std::isnan(measured(lost_updates, {disturbed})));
  EXPECT_TRUE(std::isnan(measured(lost_updates, {reference})));
  EXPECT_TRUE(std::isnan(measured(lost_updates, {reference, reference, disturbed})));
}

}  // namespace
}  // namespace gradstab::lab
