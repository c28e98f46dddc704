// fake_quantize: levels by hand, groups, kept values, and NaN and Inf.
#include "lab/quantize/fake_quantize.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "quantized.hpp"

namespace gradstab::lab {
namespace {

using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::IsNan;
using ::testing::Pointwise;
using testing::quantize;

constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();
constexpr float kInf = std::numeric_limits<float>::infinity();

const QuantizerOptions kAll[] = {QuantizerOptions::e1m2(), QuantizerOptions::e2m1(),
                                 QuantizerOptions::int4_weights(), QuantizerOptions::int4_activations(),
                                 QuantizerOptions::released_fp4()};

/// Numbers of both signs and many magnitudes, no two alike.
std::vector<float> mixed_values(std::size_t count) {
  std::vector<float> values(count);
  for (std::size_t i = 0; i < count; ++i)
    values[i] = (i % 3 == 0 ? -1.0f : 1.0f) * std::exp(0.001f * static_cast<float>(i * 7919 % 4001));
  return values;
}

TEST(FakeQuantizeTest, E2M1RoundsTiesToTheEvenMantissaAndSaturates) {
  auto options = QuantizerOptions::e2m1();
  options.fixed_scale = 1.0;
  const auto q =
      quantize({0.25f, 0.75f, 1.25f, 1.75f, 2.5f, 3.5f, 5.0f, -5.001f, 100.0f, -0.0f, 0.2501f}, options);
  EXPECT_THAT(q.values, ElementsAre(0.0f, 1.0f, 1.0f, 2.0f, 2.0f, 4.0f, 4.0f, -6.0f, 6.0f, -0.0f, 0.5f));
  EXPECT_THAT(q.codes, ElementsAre(0, 2, 2, 4, 4, 6, 6, 15, 7, 8, 1));
  EXPECT_TRUE(std::signbit(q.values[9]));
  EXPECT_THAT(q.scales, ElementsAre(1.0f));
}

TEST(FakeQuantizeTest, E1M2HasEvenSteps) {
  const auto q = quantize({1.75f, -0.3f, 0.375f, 0.625f, 1.5f, -0.1f}, QuantizerOptions::e1m2());
  EXPECT_THAT(q.values, ElementsAre(1.75f, -0.25f, 0.5f, 0.5f, 1.5f, -0.0f));
  EXPECT_THAT(q.codes, ElementsAre(7, 9, 2, 2, 6, 8));
}

TEST(FakeQuantizeTest, Int4WeightsHaveAZeroPoint) {
  const auto q = quantize({-5.0f, 10.0f, 0.4f, -0.6f, 0.0f}, QuantizerOptions::int4_weights());
  EXPECT_THAT(q.values, ElementsAre(-5.0f, 10.0f, 0.0f, -1.0f, 0.0f));
  EXPECT_THAT(q.codes, ElementsAre(0, 15, 5, 4, 5));
  EXPECT_THAT(q.zero_points, ElementsAre(5));
  EXPECT_THAT(q.scales, ElementsAre(1.0f));
}

TEST(FakeQuantizeTest, Int4WeightsOfOneSignKeepTheirMagnitude) {
  const std::vector<float> positive = {15.0f, 14.0f, 13.0f};
  const std::vector<float> negative = {-15.0f, -14.0f, -13.0f};
  auto options = QuantizerOptions::int4_weights();
  EXPECT_EQ(quantize(positive, options).values, positive);
  EXPECT_EQ(quantize(negative, options).values, negative);
  options.compat = Compat::released;
  options.group_size = 3;
  EXPECT_THAT(quantize(positive, options).values, Each(2.0f));  // range 2, of which 15 steps are the most
}

TEST(FakeQuantizeTest, Int4ActivationsAreSymmetric) {
  auto options = QuantizerOptions::int4_activations();
  options.keep_largest = 0;
  const auto q = quantize({7.0f, -7.0f, 2.5f, -3.5f, 0.4f}, options);
  EXPECT_THAT(q.values, ElementsAre(7.0f, -7.0f, 2.0f, -4.0f, 0.0f));
  EXPECT_THAT(q.codes, ElementsAre(7, 9, 2, 12, 0));
}

TEST(FakeQuantizeTest, ReleasedFp4HasNineLevels) {
  auto options = QuantizerOptions::released_fp4();
  options.group_size = 8;
  const auto q = quantize({50.0f, 4.0f, 0.49f, -1.5f, 3.4f, -60.0f, 2.5f, -4.0f}, options);
  EXPECT_THAT(q.values, ElementsAre(50.0f, 4.0f, 0.0f, -2.0f, 3.0f, -60.0f, 2.0f, -4.0f));
  EXPECT_THAT(q.codes, ElementsAre(0, 4, 0, 10, 3, 0, 2, 12));
  EXPECT_THAT(q.scales, ElementsAre(4.0f));
}

TEST(FakeQuantizeTest, KeepsTheLargestAndTheFirstOfEquals) {
  auto options = QuantizerOptions::e2m1();
  options.keep_largest = 3;
  std::vector<float> values = mixed_values(200);
  values[17] = -10000.1f;
  values[150] = 77.7f;
  values[60] = values[199] = 77.3f;
  const auto q = quantize(values, options);
  for (const std::size_t i : {17, 60, 150}) EXPECT_EQ(q.values[i], values[i]);
  EXPECT_EQ(q.scales[0], 77.3f / 6.0f);
  EXPECT_EQ(q.codes[60], 0);
  EXPECT_EQ(q.codes[199], 7);
  options.keep_largest = 0;
  EXPECT_EQ(quantize(values, options).values[150], 0.0f);
}

TEST(FakeQuantizeTest, AGroupShorterThanWhatItKeepsStaysAsItIs) {
  const std::vector<float> values = {0.1f, -0.2f};
  EXPECT_EQ(quantize(values, QuantizerOptions::int4_activations()).values, values);
  EXPECT_EQ(quantize(values, QuantizerOptions::int4_activations()).scales.at(0), 1.0f);
}

TEST(FakeQuantizeTest, EveryGroupIsAsIfAloneAndTheLastMayBeShorter) {
  for (QuantizerOptions options : kAll) {
    options.compat = Compat::robust;
    for (const std::int64_t size : {1, 5, 64, 100, 256}) {
      if (size <= options.keep_largest) continue;
      options.group_size = size;
      const auto values = mixed_values(517);
      const auto whole = quantize(values, options);
      std::vector<float> parts;
      for (std::size_t begin = 0; begin < values.size(); begin += static_cast<std::size_t>(size)) {
        const std::size_t end = std::min(values.size(), begin + static_cast<std::size_t>(size));
        const auto part = quantize(std::vector(values.begin() + static_cast<std::ptrdiff_t>(begin),
                                               values.begin() + static_cast<std::ptrdiff_t>(end)),
                                   options);
        parts.insert(parts.end(), part.values.begin(), part.values.end());
      }
      EXPECT_EQ(whole.values, parts);
      EXPECT_EQ(whole.scales.size(), (517 + size - 1) / size);
    }
  }
  auto coarse = QuantizerOptions::e2m1();
  auto fine = coarse;
  fine.group_size = 100;
  EXPECT_NE(quantize(mixed_values(517), coarse).values, quantize(mixed_values(517), fine).values);
}

TEST(FakeQuantizeTest, WorksInPlaceAndWithoutArrays) {
  for (const QuantizerOptions& options : kAll) {
    std::vector<float> values = mixed_values(512);
    const auto expected = quantize(values, options).values;
    EXPECT_NE(values, expected);
    ASSERT_TRUE(fake_quantize(std::span<const float>(values), std::span(values), options).ok());
    EXPECT_EQ(values, expected);
  }
}

TEST(FakeQuantizeTest, ANonFiniteValueMakesItsGroupNaNAndNoOther) {
  for (QuantizerOptions options : kAll) {
    options.group_size = 64;
    for (const double scale : {0.0, 0.5}) {
      if (options.format == QuantizerFormat::int4_weight && scale > 0.0) continue;
      options.fixed_scale = scale;
      for (const float bad : {kNaN, -kNaN, kInf, -kInf}) {
        auto values = mixed_values(192);
        const auto expected = quantize(values, options);
        values[100] = bad;
        const auto q = quantize(values, options);
        EXPECT_THAT(std::vector(q.values.begin() + 64, q.values.begin() + 128), Each(IsNan()));
        EXPECT_THAT(std::vector(q.codes.begin() + 64, q.codes.begin() + 128), Each(0));
        EXPECT_TRUE(std::isnan(q.scales[1]));
        for (const std::size_t i : {0, 63, 128, 191}) EXPECT_EQ(q.values[i], expected.values[i]);
        EXPECT_EQ(q.scales[0], expected.scales[0]);
      }
    }
  }
}

TEST(FakeQuantizeTest, ZerosStayAndHaveScaleOne) {
  for (QuantizerOptions options : kAll) {
    options.compat = Compat::robust;
    const auto q = quantize(std::vector(256, 0.0f), options);
    EXPECT_THAT(q.values, Each(0.0f));
    EXPECT_THAT(q.scales, ElementsAre(1.0f));
  }
  EXPECT_EQ(quantize(std::vector(256, 0.0f), QuantizerOptions::released_fp4()).scales.at(0), 1e-6f);
}

TEST(FakeQuantizeTest, TheWholeRangeOfATypeIsFiniteAndInOrder) {
  const float most = std::numeric_limits<float>::max();
  for (QuantizerOptions options : kAll) {
    options.compat = Compat::robust;
    options.keep_largest = 0;
    const auto large = quantize({0.9f * most, -0.9f * most, 0.3f * most}, options).values;
    EXPECT_GT(large[0], 0.8f * most);
    EXPECT_LT(large[1], -0.8f * most);
    EXPECT_NEAR(large[2] / most, 0.3, 0.1);
    const auto tiny = quantize({1e-40f, -1e-45f, 0.0f}, options).values;
    for (const float value : tiny) EXPECT_LE(std::fabs(value), 1e-37f);
  }
}

/// The column of docs/methods.md. The mean over 4096 groups is good to 0.0005.
TEST(FakeQuantizeTest, ErrorsOnNormalValuesAreTheDocumentedOnes) {
  std::mt19937_64 random(1);
  std::normal_distribution<float> normal;
  std::vector<float> values(256 * 4096);
  for (float& value : values) value = normal(random);
  const double documented[] = {0.126, 0.111, 0.110, 0.106, 0.186};
  for (std::size_t k = 0; k < std::size(kAll); ++k) {
    const auto result = quantize(values, kAll[k]).values;
    double error = 0.0;
    double square = 0.0;
    for (std::size_t i = 0; i < values.size(); ++i) {
      error += std::pow(double{result[i]} - double{values[i]}, 2);
      square += std::pow(double{values[i]}, 2);
    }
    EXPECT_NEAR(std::sqrt(error / square), documented[k], 0.001);
  }
}

TEST(FakeQuantizeTest, NothingIsNothing) {
  for (const QuantizerOptions& options : kAll) EXPECT_TRUE(quantize<float>({}, options).values.empty());
}

TEST(FakeQuantizeTest, SeedAndDrawDecideHowValuesAreRounded) {
  for (QuantizerOptions options : {QuantizerOptions::e1m2(), QuantizerOptions::e2m1(),
                                   QuantizerOptions::int4_weights(), QuantizerOptions::int4_activations()}) {
    options.rounding = QuantizerRounding::stochastic;
    options.seed = 7;
    const auto values = mixed_values(512);
    const auto first = quantize(values, options, 3).values;
    EXPECT_EQ(quantize(values, options, 3).values, first);
    EXPECT_NE(quantize(values, options, 4).values, first);
    options.seed = 8;
    EXPECT_NE(quantize(values, options, 3).values, first);
    // Groups have different numbers.
    const std::vector<float> alike(512, 0.3f);
    auto fixed = QuantizerOptions::e2m1();
    fixed.rounding = QuantizerRounding::stochastic;
    fixed.fixed_scale = 1.0;
    const auto q = quantize(alike, fixed).values;
    EXPECT_NE(std::vector(q.begin(), q.begin() + 256), std::vector(q.begin() + 256, q.end()));
  }
}

TEST(FakeQuantizeTest, OnlyTheReleasedFormReachesMinusEight) {
  auto options = QuantizerOptions::int4_activations();
  options.keep_largest = 0;
  options.rounding = QuantizerRounding::stochastic;
  options.group_size = 2;
  const std::vector<float> values = {-7.0f, 7.0f};
  const std::vector<float> noise = {0.0f, 0.999f};
  std::vector<float> result(2);
  ASSERT_TRUE(fake_quantize(values, result, options, {.noise = noise}).ok());
  EXPECT_EQ(result, values);
  options.compat = Compat::released;
  ASSERT_TRUE(fake_quantize(values, result, options, {.noise = noise}).ok());
  EXPECT_THAT(result, ElementsAre(-8.0f, 7.0f));
}

}  // namespace
}  // namespace gradstab::lab
