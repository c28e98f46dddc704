// Running moments against those of all rows at once.
#include "lab/rl/running_moments.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "tests/lab/rl/golden.hpp"

namespace gradstab::lab::rl {
namespace {

constexpr double kEpsilon = std::numeric_limits<double>::epsilon();

TEST(RunningMomentsTest, MergedBatchesAreThoseOfAllRows) {
  const auto expected = golden("moments");
  const auto rows = numbers(expected.at("rows"));
  RunningMoments moments(2);
  std::size_t first = 0;
  for (const std::size_t size : expected.at("batches")) {
    moments.merge(std::span(rows).subspan(2 * first, 2 * size));
    first += size;
  }
  EXPECT_EQ(moments.count, 9);
  for (std::size_t i = 0; i < 2; ++i) {
    const double mean = expected.at("mean")[i], variance = expected.at("variance")[i];
    EXPECT_NEAR(moments.mean[i], mean, 32 * kEpsilon * std::abs(mean));
    // Each difference from a mean has an error of epsilon times the mean.
    EXPECT_NEAR(moments.variance[i], variance, 64 * kEpsilon * std::abs(mean) * std::sqrt(variance));
  }
  RunningMoments wrong(2);
  wrong.merge(std::span(rows).subspan(0, 16));
  EXPECT_GT(std::abs(wrong.mean[0] - moments.mean[0]), 1e-3) << "the control: a row less is seen";
}

TEST(RunningMomentsTest, TheFirstBatchReplacesWhatStoodThere) {
  RunningMoments moments(1);
  EXPECT_EQ(moments.variance[0], 1.0);
  moments.merge(std::vector<double>{3.0, 5.0});
  EXPECT_EQ(moments.mean[0], 4.0);
  EXPECT_EQ(moments.variance[0], 1.0);
  moments.merge(std::vector<double>{});
  EXPECT_EQ(moments.count, 2);
}

TEST(RunningMomentsTest, NormalizedNumbersAreClipped) {
  RunningMoments moments(2);
  moments.merge(std::vector<double>{0.0, 10.0, 4.0, 10.0});
  std::vector<float> normalized(4);
  normalize(moments, std::vector<double>{6.0, 10.0, 1000.0, 9.0}, normalized);
  EXPECT_FLOAT_EQ(normalized[0], static_cast<float>(4.0 / std::sqrt(4.0 + 1.1920929e-07)));
  EXPECT_EQ(normalized[1], 0.0F);
  EXPECT_EQ(normalized[2], 10.0F);
  EXPECT_EQ(normalized[3], -10.0F) << "without variance the epsilon alone divides";
}

}  // namespace
}  // namespace gradstab::lab::rl
