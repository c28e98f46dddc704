// How float32 results become bfloat16 parameters at random.
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "support/elements.hpp"

namespace gradstab::testing {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

/// p <- value, by the plain rule: p = keep * 1 with gradient 0.
std::vector<std::uint16_t> rounded_at_random(const Backend& backend, const std::vector<float>& values,
                                             std::uint32_t key) {
  // p = 0 * p - step_size * g with step_size -1: exactly the gradient.
  UpdateScalars scalars;
  scalars.keep = 0.0;
  scalars.step_size = -1.0;
  std::vector<std::uint16_t> result(values.size(), 0);
  UpdateBlock block;
  block.storage = ParameterStorage::bfloat16_stochastic;
  block.parameter = result.data();
  block.gradient = values.data();
  block.count = values.size();
  block.random_key = key;
  backend.update(block, scalars);
  return result;
}

double value_of(std::uint16_t bits) {
  return to_float(BFloat16{bits});
}

std::vector<float> many_floats() {
  std::mt19937 generator(5);
  std::vector<float> values;
  for (int i = 0; i < 20000; ++i) {
    const auto bits = static_cast<std::uint32_t>(generator());
    const float value = std::bit_cast<float>(bits);
    if (std::isfinite(value)) values.push_back(value);
  }
  return values;
}

TEST(StochasticRoundingTest, BackendsGiveTheSameBitsForTheSameFloats) {
  std::vector<float> values = many_floats();
  for (const float special : {0.0f, -0.0f, 1.0f, 3.4e38f, -3.4e38f, 1e-45f, -1e-40f})
    values.push_back(special);
  for (const std::uint32_t key : {0u, 1u, 0x80000000u, 0xFFFFFFFFu, 0xFFFFFFF0u}) {
    const auto expected = rounded_at_random(*backends().front(), values, key);
    for (const Backend* backend : supported_backends())
      EXPECT_EQ(rounded_at_random(*backend, values, key), expected) << backend->name() << ", key " << key;
  }
}

TEST(StochasticRoundingTest, ResultsAreOneOfTheTwoNeighboursAndBothOccur) {
  const std::vector<float> values = many_floats();
  const auto results = rounded_at_random(*supported_backends().back(), values, 99);
  std::size_t up = 0;
  for (std::size_t i = 0; i < values.size(); ++i) {
    const auto below =
        static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(values[i]) >> 16);  // towards 0
    const bool is_up = results[i] == below + 1;
    ASSERT_TRUE(results[i] == below || is_up) << values[i];
    up += is_up ? 1 : 0;
  }
  // Fractions are uniform, so one half goes up: 5 standard errors.
  const auto n = static_cast<double>(values.size());
  EXPECT_NEAR(static_cast<double>(up), n / 2, 5 * std::sqrt(n / 4));
}

TEST(StochasticRoundingTest, WhatBFloat16HoldsExactlyStays) {
  std::vector<float> values;
  for (std::uint32_t bits = 0; bits < 65536; ++bits) {
    const float value = std::bit_cast<float>(bits << 16);
    if (!std::isnan(value)) values.push_back(value);
  }
  for (const Backend* backend : supported_backends()) {
    const auto results = rounded_at_random(*backend, values, 12345);
    for (std::size_t i = 0; i < values.size(); ++i) {
      // -0 comes out of 0 - (-1 * -0) as 0 + -0 = 0 on every backend.
      ASSERT_EQ(value_of(results[i]), static_cast<double>(values[i])) << backend->name();
    }
  }
}

TEST(StochasticRoundingTest, TheMeanOverKeysAndOverElementsIsTheValue) {
  struct Case {
    float value;
    double spacing;  // of bfloat16 there
  };
  for (const Case& c : {Case{1.0f + 0x1p-9f, 0x1p-7}, Case{-1.0f - 0x1p-8f, 0x1p-7}, Case{3.14159f, 0x1p-6},
                        Case{1.0f + 0x1p-7f - 0x1p-13f, 0x1p-7}, Case{-7e-5f, 0x1p-21}}) {
    const double low = std::floor(c.value / c.spacing) * c.spacing;
    const double fraction = (c.value - low) / c.spacing;
    const auto expect_mean = [&](double sum, double n) {
      EXPECT_NEAR(sum / n, c.value, 5 * c.spacing * std::sqrt(fraction * (1 - fraction) / n)) << c.value;
    };
    constexpr std::uint32_t kKeys = 20000;
    double over_keys = 0.0;
    for (std::uint32_t key = 0; key < kKeys; ++key)
      over_keys += value_of(rounded_at_random(*supported_backends().back(), {c.value}, key * 0x9E3779B9u)[0]);
    expect_mean(over_keys, kKeys);
    const std::vector<float> row(100000, c.value);
    double over_elements = 0.0;
    for (const auto bits : rounded_at_random(*supported_backends().back(), row, 7))
      over_elements += value_of(bits);
    expect_mean(over_elements, static_cast<double>(row.size()));
  }
}

TEST(StochasticRoundingTest, NaNAndInfinityStayWhatTheyAre) {
  const std::vector<float> values = {
      std::bit_cast<float>(0x7FC00000u),      std::bit_cast<float>(0xFFC00001u),
      std::bit_cast<float>(0x7F800001u),      std::bit_cast<float>(0x7FFFFFFFu),
      std::numeric_limits<float>::infinity(), -std::numeric_limits<float>::infinity()};
  for (const Backend* backend : supported_backends()) {
    for (std::uint32_t key = 0; key < 50; ++key) {
      const auto results = rounded_at_random(*backend, values, key);
      for (std::size_t i = 0; i < 4; ++i) ASSERT_TRUE(std::isnan(value_of(results[i]))) << i;
      ASSERT_EQ(value_of(results[4]), kInfinity);
      ASSERT_EQ(value_of(results[5]), -kInfinity);
    }
  }
}

}  // namespace
}  // namespace gradstab::testing
