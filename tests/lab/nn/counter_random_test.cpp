#include "lab/nn/counter_random.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <set>
#include <utility>
#include <vector>

#include "lab/nn/dropout_kernels.hpp"

namespace gradstab::lab::nn {
namespace {

constexpr std::int64_t kCount = 1 << 18;

TEST(CounterRandomTest, TheNumbersNeverChange) {
  // A resumed run must draw what the interrupted one would have drawn.
  EXPECT_EQ(mix32(0), 0u);
  EXPECT_EQ(mix32(1), 1753845952u);
  const CounterKey key = Draw{1, 2}.key(3);
  EXPECT_EQ(key, (CounterKey{4259537587u, 3497215824u}));
  EXPECT_EQ(counter_bits(0, key), 1277355224u);
  EXPECT_EQ(counter_bits(12345, key), 917932541u);
}

TEST(CounterRandomTest, Mix32IsABijectionThatSpreadsEveryBit) {
  std::set<std::uint32_t> seen;
  for (std::uint32_t i = 0; i < 100000; ++i) seen.insert(mix32(i));
  EXPECT_EQ(seen.size(), 100000u);
  for (int bit = 0; bit < 32; ++bit) {
    double changed = 0;
    constexpr int kTries = 4000;
    for (std::uint32_t i = 0; i < kTries; ++i)
      changed +=
          std::popcount(mix32(i * 2654435761U) ^ mix32(i * 2654435761U ^ (1U << static_cast<unsigned>(bit))));
    EXPECT_NEAR(changed / kTries, 16, 1) << bit;
  }
}

TEST(CounterRandomTest, EverySeedUpdateAndPlaceHasAKeyOfItsOwn) {
  std::set<std::pair<std::uint32_t, std::uint32_t>> keys;
  for (std::uint64_t seed = 0; seed < 20; ++seed)
    for (std::uint64_t index = 0; index < 20; ++index)
      for (std::uint64_t place = 0; place < 20; ++place) {
        const CounterKey key = Draw{seed, index}.key(place);
        keys.insert({key.first, key.second});
      }
  EXPECT_EQ(keys.size(), 8000u);
}

/// How often `rule` keeps elements.
double kept(const DropRule& rule) {
  std::int64_t count = 0;
  for (std::int64_t i = 0; i < kCount; ++i) count += rule.keeps(static_cast<std::uint32_t>(i)) ? 1 : 0;
  return static_cast<double>(count) / kCount;
}

TEST(CounterRandomTest, TheRateIsKept) {
  for (const double rate : {0.0, 0.05, 0.2, 0.3, 0.5, 0.9})
    for (std::uint64_t index = 0; index < 5; ++index) {
      const DropRule rule(Draw{3, index}.key(1), rate);
      EXPECT_NEAR(kept(rule), 1 - rate, 4 * std::sqrt(rate * (1 - rate) / kCount)) << rate;
      EXPECT_DOUBLE_EQ(rule.scale, 1 / (1 - rate));
    }
}

/// Correlation of two masks of rate 0.3: 0 within 4 / sqrt(kCount) if they are independent.
template <class First, class Second>
double correlation(const First& first, const Second& second) {
  double both = 0;
  for (std::int64_t i = 0; i < kCount; ++i) both += (first(i) ? 0.3 : -0.7) * (second(i) ? 0.3 : -0.7);
  return both / kCount / 0.21;
}

TEST(CounterRandomTest, MasksAreIndependent) {
  const double bound = 4 / std::sqrt(static_cast<double>(kCount));
  const auto mask = [](CounterKey key, std::int64_t shift = 0) {
    return [rule = DropRule(key, 0.3), shift](std::int64_t i) {
      return rule.keeps(static_cast<std::uint32_t>(i + shift));
    };
  };
  const CounterKey key = Draw{3, 100}.key(7);
  for (const std::int64_t shift : {1, 2, 3, 4, 8, 16, 42, 64, 128, 1024, 37632})
    EXPECT_LT(std::abs(correlation(mask(key), mask(key, shift))), bound) << shift;
  EXPECT_LT(std::abs(correlation(mask(key), mask(Draw{3, 101}.key(7)))), bound);
  EXPECT_LT(std::abs(correlation(mask(key), mask(Draw{4, 100}.key(7)))), bound);
  EXPECT_LT(std::abs(correlation(mask(key), mask(Draw{3, 100}.key(8)))), bound);
  EXPECT_LT(std::abs(correlation(mask(key), mask({key.first + 1, key.second}))), bound);
  EXPECT_LT(std::abs(correlation(mask(key), mask({key.first, key.second + 1}))), bound);
  EXPECT_GT(correlation(mask(key), mask(key)), 0.98);  // the same mask is not independent
}

TEST(CounterRandomTest, UniformAndNormalNumbers) {
  const CounterKey key = Draw{5, 6}.key(0);
  double sum = 0, squares = 0, fourth = 0, least = 1, most = 0, uniform = 0;
  for (std::int64_t i = 0; i < kCount; ++i) {
    const double u = counter_uniform(static_cast<std::uint64_t>(i), key);
    least = std::min(least, u);
    most = std::max(most, u);
    uniform += u;
    const double n = counter_normal(static_cast<std::uint64_t>(i), key);
    sum += n;
    squares += n * n;
    fourth += n * n * n * n;
  }
  EXPECT_GT(least, 0);
  EXPECT_LT(most, 1);
  const double error = 4 / std::sqrt(static_cast<double>(kCount));
  EXPECT_NEAR(uniform / kCount, 0.5, error / std::sqrt(12.0));
  EXPECT_NEAR(sum / kCount, 0, error);
  EXPECT_NEAR(squares / kCount, 1, error * std::sqrt(2.0));
  EXPECT_NEAR(fourth / kCount, 3, error * std::sqrt(96.0));
}

TEST(DropoutKernelsTest, EveryBuildGivesTheSameMask) {
  const DropRule rule(Draw{5, 6}.key(0), 0.3);
  std::vector<float> x(100003);
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i % 97) + 1;
  const auto count = static_cast<std::int64_t>(x.size());
  for (const auto* kernels : all_dropout_kernels<float>()) {
    std::vector<float> y(x.size());
    kernels->dropout(x.data(), count, rule, y.data());
    for (std::size_t i = 0; i < x.size(); ++i)
      EXPECT_EQ(y[i], rule.keeps(static_cast<std::uint32_t>(i)) ? x[i] * static_cast<float>(1 / 0.7) : 0)
          << i;
  }
}

}  // namespace
}  // namespace gradstab::lab::nn
