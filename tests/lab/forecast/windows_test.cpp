#include "lab/forecast/windows.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <vector>

#include "lab/forecast/score.hpp"
#include "lab/forecast/trivial_predictors.hpp"
#include "tests/lab/forecast/test_series.hpp"

namespace gradstab::lab::forecast {
namespace {

/// Channel c holds 100 c + row.
StandardSeries counted(std::int64_t channels, std::int64_t rows) {
  StandardSeries series;
  series.channels = channels;
  series.rows = rows;
  for (std::int64_t c = 0; c < channels; ++c)
    for (std::int64_t row = 0; row < rows; ++row) series.values.push_back(static_cast<float>(100 * c + row));
  return series;
}

TEST(WindowsTest, LookBackAcrossTheBeginningOfAPart) {
  const StandardSeries series = counted(2, 20);
  const Windows training(series, {0, 10}, 4, 2);
  EXPECT_EQ(training.count(), 5);
  EXPECT_EQ(training.input(0, 0)[0], 0);
  EXPECT_EQ(training.target(4, 0)[1], 9);  // no target is of a later part
  const Windows test(series, {15, 20}, 4, 2);
  EXPECT_EQ(test.count(), 4);
  EXPECT_EQ(test.input(0, 1)[0], 111);
  EXPECT_EQ(test.target(0, 1)[0], 115);  // the first forecast is of the part's first row
  EXPECT_EQ(test.target(3, 1)[1], 119);
}

TEST(WindowsTest, CopiesChannelByChannel) {
  const StandardSeries series = counted(2, 20);
  const Windows windows(series, {0, 20}, 3, 2);
  std::vector<float> inputs(12);
  std::vector<float> targets(8);
  const std::vector<std::int64_t> indices = {7, 0};
  windows.copy(indices, inputs.data(), targets.data());
  EXPECT_THAT(inputs, ::testing::ElementsAre(7, 8, 9, 107, 108, 109, 0, 1, 2, 100, 101, 102));
  EXPECT_THAT(targets, ::testing::ElementsAre(10, 11, 110, 111, 3, 4, 103, 104));
}

std::vector<std::int64_t> epoch_of(const WindowOrder& order, std::int64_t epoch) {
  std::vector<std::int64_t> all;
  for (std::int64_t step = 0; step < order.batches_per_epoch(); ++step) {
    const auto update = static_cast<std::uint64_t>(epoch * order.batches_per_epoch() + step);
    std::vector<std::int64_t> batch(static_cast<std::size_t>(order.size(update)));
    order.batch(update, batch);
    all.insert(all.end(), batch.begin(), batch.end());
  }
  return all;
}

TEST(WindowOrderTest, AnEpochVisitsEveryWindowOnce) {
  for (const std::int64_t windows : {1, 127, 128, 129, 1000}) {
    const WindowOrder order(windows, 128, 5);
    EXPECT_EQ(order.batches_per_epoch(), (windows + 127) / 128);
    std::vector<std::int64_t> first = epoch_of(order, 0);
    std::vector<std::int64_t> second = epoch_of(order, 1);
    if (windows > 100) {
      EXPECT_NE(first, second);
      EXPECT_NE(first, epoch_of(WindowOrder(windows, 128, 6), 0));
    }
    std::vector<std::int64_t> expected(static_cast<std::size_t>(windows));
    std::iota(expected.begin(), expected.end(), 0);
    for (auto* visited : {&first, &second}) {
      std::ranges::sort(*visited);
      EXPECT_EQ(*visited, expected);
    }
  }
}

TEST(WindowOrderTest, ABatchNeedsNoHistory) {
  const WindowOrder order(1000, 128, 5);
  std::vector<std::int64_t> batch(static_cast<std::size_t>(order.size(11)));
  order.batch(11, batch);  // in the middle of the second epoch
  const std::vector<std::int64_t> epoch = epoch_of(WindowOrder(1000, 128, 5), 1);
  EXPECT_EQ(batch, std::vector<std::int64_t>(epoch.begin() + 3 * 128, epoch.begin() + 4 * 128));
}

TEST(WindowOrderTest, DropLastLeavesTheSmallerBatchOut) {
  const WindowOrder order(8209, 128, 5, true);
  EXPECT_EQ(order.batches_per_epoch(), 64);
  EXPECT_EQ(epoch_of(order, 0).size(), 8192u);
  EXPECT_EQ(WindowOrder(8209, 128, 5).batches_per_epoch(), 65);
  EXPECT_EQ(WindowOrder(8209, 128, 5).size(64), 17);
  EXPECT_EQ(in_whole_batches(2785, 128, true), 2688);
  EXPECT_EQ(in_whole_batches(2785, 128, false), 2785);
  EXPECT_EQ(in_whole_batches(100, 128, true), 100);
}

TEST(ScoreTest, EveryValueWeighsTheSame) {
  const std::vector<float> forecast = {1, 2, 3};
  const std::vector<float> truth = {1, 0, 7};
  Score score;
  EXPECT_TRUE(std::isnan(score.mean_squared_error()));
  score.add(forecast.data(), truth.data(), 1);  // a batch of one value without error
  score.add(forecast.data() + 1, truth.data() + 1, 2);
  EXPECT_DOUBLE_EQ(score.mean_squared_error(), 20.0 / 3);  // not the mean 5 of the batches' means
  EXPECT_DOUBLE_EQ(score.mean_absolute_error(), 2);
  EXPECT_EQ(score.count(), 3);
}

TEST(TrivialPredictorsTest, OnALine) {
  // The last value is 1 and 2 behind; the mean of 3 values is 2 and 3 behind.
  const StandardSeries series = counted(2, 20);
  const Windows windows(series, {10, 20}, 3, 2);
  EXPECT_DOUBLE_EQ(score_last_value(windows).mean_squared_error(), 2.5);
  EXPECT_DOUBLE_EQ(score_last_value(windows).mean_absolute_error(), 1.5);
  EXPECT_DOUBLE_EQ(score_window_mean(windows).mean_squared_error(), 6.5);
  EXPECT_EQ(score_window_mean(windows).count(), 9 * 2 * 2);
}

}  // namespace
}  // namespace gradstab::lab::forecast
