#include "lab/train/injected_spikes.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <set>

namespace gradstab::lab {
namespace {

using ::testing::HasSubstr;

std::vector<InjectedSpike> parsed(const std::string& text) {
  return parse_injected_spikes(text).value();
}

std::string refused(const std::string& text) {
  const auto spikes = parse_injected_spikes(text);
  return spikes ? "" : spikes.status().message();
}

TEST(InjectedSpikesTest, GivenUpdatesAreHit) {
  const auto spikes = parsed("100:1000,7:0.5,100:2");
  EXPECT_FALSE(injected_factor(spikes, 0, 99));
  EXPECT_EQ(injected_factor(spikes, 0, 7), 0.5);
  EXPECT_EQ(injected_factor(spikes, 3, 100), 2000.0) << "whatever the seed";
  EXPECT_FALSE(injected_factor({}, 0, 1));
  EXPECT_TRUE(parsed("").empty());
}

TEST(InjectedSpikesTest, RandomOnesComeAsOftenAsAskedFor) {
  constexpr std::int64_t kUpdates = 100000;
  for (const double probability : {0.01, 0.3}) {
    const auto spikes = parsed("random:" + std::to_string(probability) + ":1e3");
    double hits = 0.0;
    for (std::int64_t update = 1; update <= kUpdates; ++update)
      if (const auto factor = injected_factor(spikes, 5, update)) {
        EXPECT_EQ(*factor, 1000.0);
        ++hits;
      }
    // Six standard deviations of the binomial distribution.
    const double expected = kUpdates * probability;
    EXPECT_NEAR(hits, expected, 6.0 * std::sqrt(expected * (1.0 - probability)));
  }
  EXPECT_TRUE(injected_factor(parsed("random:1:2"), 0, 1));
}

TEST(InjectedSpikesTest, RandomOnesDependOnSeedAndUpdateAlone) {
  const auto hits = [](const std::string& text, std::uint64_t seed) {
    std::set<std::int64_t> updates;
    for (std::int64_t update = 1; update <= 2000; ++update)
      if (injected_factor(parsed(text), seed, update)) updates.insert(update);
    return updates;
  };
  EXPECT_EQ(hits("random:0.01:1000", 1), hits("random:0.01:nan", 1));
  EXPECT_NE(hits("random:0.01:1000", 1), hits("random:0.01:1000", 2));
  const auto together = hits("random:0.01:10,5:2", 1);
  EXPECT_TRUE(together.contains(5));
}

TEST(InjectedSpikesTest, ANaNIsStrongerThanAnyFactor) {
  EXPECT_TRUE(std::isnan(*injected_factor(parsed("3:nan,3:10"), 0, 3)));
}

TEST(InjectedSpikesTest, EveryGradientCanBePoisoned) {
  std::set<std::size_t> hit;
  for (std::int64_t update = 1; update <= 400; ++update) hit.insert(poisoned_gradient(0, update, 39));
  EXPECT_EQ(hit.size(), 39u);
  EXPECT_EQ(*hit.rbegin(), 38u);
}

TEST(InjectedSpikesTest, TheRestIsRefused) {
  for (const char* text : {"7", "0:2", "-1:2", "3:", "3:inf", "3:1e999", ":5", "random:5", "random:0:5",
                           "random:1.5:5", "random:nan:5", "1.5:2", "3:2x", "3:2,,"})
    EXPECT_THAT(refused(text), HasSubstr("inject_spikes must be UPDATE:FACTOR")) << text;
  EXPECT_THAT(refused("1:2,x:3"), HasSubstr("got 'x:3'"));
  EXPECT_THAT(refused("5:10,"), HasSubstr("got ''"));
}

}  // namespace
}  // namespace gradstab::lab
