#include "lab/forecast/corruption.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

namespace gradstab::lab::forecast {
namespace {

constexpr std::size_t kValues = 200000;

std::vector<float> corrupted(const Corruption& corruption, double maximum, const nn::Draw& draw,
                             std::size_t count = kValues) {
  std::vector<float> values(count, 2.0F);
  corrupt(values, corruption, maximum, draw);
  return values;
}

TEST(CorruptionTest, AShareOfTheValuesGetsNormalNoise) {
  const auto values = corrupted({0.05, 3}, 1.5, {7, 11});
  double count = 0, sum = 0, squares = 0;
  for (const float value : values) {
    if (value == 2.0F) continue;
    ++count;
    sum += value - 2;
    squares += (value - 2) * (value - 2);
  }
  // Four standard errors of each: binomial, normal mean, normal variance.
  EXPECT_NEAR(count, 0.05 * kValues, 4 * std::sqrt(0.05 * 0.95 * kValues));
  EXPECT_NEAR(sum / count, 0, 4 * 4.5 / std::sqrt(count));
  EXPECT_NEAR(squares / count, 4.5 * 4.5, 4 * 4.5 * 4.5 * std::sqrt(2 / count));
}

TEST(CorruptionTest, IsAFunctionOfTheDraw) {
  const Corruption corruption{0.05, 1};
  EXPECT_EQ(corrupted(corruption, 1, {7, 11}), corrupted(corruption, 1, {7, 11}));
  EXPECT_NE(corrupted(corruption, 1, {7, 11}), corrupted(corruption, 1, {7, 12}));
  EXPECT_NE(corrupted(corruption, 1, {7, 11}), corrupted(corruption, 1, {8, 11}));
  // Of a smaller batch too: an element's noise does not depend on how many there are.
  const auto all = corrupted(corruption, 1, {7, 11});
  const auto some = corrupted(corruption, 1, {7, 11}, 1000);
  EXPECT_TRUE(std::equal(some.begin(), some.end(), all.begin()));
}

TEST(CorruptionTest, TheLevelScalesTheSameNoise) {
  const auto one = corrupted({0.05, 1}, 2, {7, 11});
  // How many values at another level are not 2 and `level` times that noise. A sum is rounded to float once,
  // by 2^-24 of it at most.
  const auto unscaled = [&](const std::vector<float>& values, double level) {
    std::size_t count = 0;
    for (std::size_t i = 0; i < kValues; ++i) {
      const double small = one[i], large = values[i];
      const double rounding = 0x1p-24 * (std::abs(large) + level * std::abs(small));
      count += std::abs((large - 2) - level * (small - 2)) > rounding ? 1 : 0;
    }
    return count;
  };
  EXPECT_EQ(unscaled(corrupted({0.05, 3}, 2, {7, 11}), 3), 0u);
  // Of the 10,000 values with noise nearly all differ, where the level is another one by a thousandth.
  EXPECT_GT(unscaled(corrupted({0.05, 3.003}, 2, {7, 11}), 3), 9000u);
}

TEST(CorruptionTest, NoneLeavesEverythingAlone) {
  EXPECT_EQ(corrupted({0, 3}, 1, {7, 11}), std::vector<float>(kValues, 2.0F));
  EXPECT_EQ(corrupted({0.05, 0}, 1, {7, 11}), std::vector<float>(kValues, 2.0F));
}

TEST(CorruptionTest, SettingsHaveRanges) {
  EXPECT_TRUE((Corruption{1, 3}).validate().ok());
  EXPECT_EQ((Corruption{1.5, 3}).validate().message(), "corrupt_probability must be in [0, 1], got 1.5");
  EXPECT_EQ((Corruption{0.5, -1}).validate().message(),
            "corrupt_level must be finite and at least 0, got -1");
  EXPECT_FALSE((Corruption{NAN, 1}).validate().ok());
  EXPECT_FALSE((Corruption{0.5, INFINITY}).validate().ok());
}

}  // namespace
}  // namespace gradstab::lab::forecast
