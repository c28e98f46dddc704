#include "lab/page/downsample.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>

namespace gradstab::lab {
namespace {

using ::testing::DoubleNear;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

TEST(DownsampleTest, ShortSeriesAreKeptWhole) {
  const std::vector<double> values = {3, 1, kNaN, 2};
  EXPECT_THAT(downsample(values, 8), ElementsAre(0, 1, 2, 3));
  EXPECT_THAT(downsample({}, 8), IsEmpty());
}

TEST(DownsampleTest, RandomSeriesKeepExtremesEndsOrderAndLimit) {
  std::mt19937 random(7);
  for (int round = 0; round < 300; ++round) {
    const std::size_t count = std::uniform_int_distribution<std::size_t>(1, 4000)(random);
    const std::size_t limit = std::uniform_int_distribution<std::size_t>(kFewestPoints, 600)(random);
    std::vector<double> values(count);
    std::lognormal_distribution<double> spiky(0, 3);
    for (double& value : values) value = spiky(random) * (random() % 2 == 0 ? 1 : -1);
    for (std::size_t i = 0; i < count / 50; ++i) values[random() % count] = kNaN;

    const std::vector<std::size_t> kept = downsample(values, limit);
    ASSERT_LE(kept.size(), limit);
    ASSERT_EQ(kept.front(), 0u);
    ASSERT_EQ(kept.back(), count - 1);
    ASSERT_TRUE(std::is_sorted(kept.begin(), kept.end(), std::less_equal<>()));  // strictly increasing

    const auto extremes = [](const auto& range, auto value_of) {
      double low = std::numeric_limits<double>::infinity(), high = -low;
      for (const auto& entry : range) {
        const double value = value_of(entry);
        if (!std::isfinite(value)) continue;
        low = std::min(low, value);
        high = std::max(high, value);
      }
      return std::pair(low, high);
    };
    ASSERT_EQ(extremes(kept, [&](std::size_t i) { return values[i]; }),
              extremes(values, [](double value) { return value; }));
  }
}

TEST(DownsampleTest, SingleSpikeOfALongRunSurvives) {
  std::vector<double> values(100000, 1.0);
  values[61803] = 1e6;
  const std::vector<std::size_t> kept = downsample(values, 100);
  EXPECT_TRUE(std::binary_search(kept.begin(), kept.end(), std::size_t{61803}));
}

TEST(DownsampleTest, GapsStayGaps) {
  std::vector<double> values(10000, 1.0);
  values[5000] = kNaN;
  const std::vector<std::size_t> kept = downsample(values, 100);
  EXPECT_TRUE(std::binary_search(kept.begin(), kept.end(), std::size_t{5000}));
}

TEST(SmoothTest, MeansAreCentredAndSkipGaps) {
  const std::vector<double> values = {1, 2, 6, kNaN, 8, 4};
  EXPECT_THAT(smooth(values, 3), ElementsAre(1, 3, 4, ::testing::NanSensitiveDoubleEq(kNaN), 6, 6));
  EXPECT_EQ(smooth(std::vector<double>{5, 7}, 1), (std::vector<double>{5, 7}));
}

TEST(SmoothTest, OneHugeValueDoesNotSpoilTheRest) {
  std::vector<double> values(200, 0.1);
  values[100] = 1e20;
  EXPECT_THAT(smooth(values, 5)[150], DoubleNear(0.1, 1e-15));
}

TEST(SmoothingWindowTest, IsOddAndGrowsWithTheSeries) {
  EXPECT_EQ(smoothing_window(0), 1u);
  EXPECT_EQ(smoothing_window(19), 1u);
  EXPECT_EQ(smoothing_window(20), 5u);
  EXPECT_EQ(smoothing_window(2000), 21u);
  EXPECT_EQ(smoothing_window(1000000), 201u);
}

}  // namespace
}  // namespace gradstab::lab
