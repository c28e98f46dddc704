// Advantages against sums that numpy made, and the rules for the three ways in which an episode can stop.
#include "lab/rl/rollout.hpp"

#include <gtest/gtest.h>

#include <cmath>

#include "tests/lab/rl/golden.hpp"

namespace gradstab::lab::rl {
namespace {

/// Rollout, values and values after ends of the recorded case.
struct Case {
  Case() : json(golden("advantages")), rollout({json.at("steps"), json.at("environments"), 1, 1}) {
    rollout.rewards = numbers(json.at("rewards"));
    for (std::size_t i = 0; i < rollout.rewards.size(); ++i) {
      rollout.terminated[i] = static_cast<char>(json.at("terminated")[i].get<int>());
      rollout.truncated[i] = static_cast<char>(json.at("truncated")[i].get<int>());
    }
    values = numbers(json.at("values"));
    end_values = numbers(json.at("end_values"));
    rule = {json.at("gamma"), json.at("lambda")};
  }
  std::vector<double> found() const { return advantages(rollout, values, end_values, rule); }

  nlohmann::json json;
  Rollout rollout;
  std::vector<double> values, end_values;
  AdvantageRule rule;
};

double difference(const std::vector<double>& a, const std::vector<double>& b) {
  double largest = 0.0;
  for (std::size_t i = 0; i < a.size(); ++i) largest = std::max(largest, std::abs(a[i] - b[i]));
  return largest;
}

// At most six terms of less than ten, each with a few roundings.
constexpr double kTolerance = 1e-14;

TEST(AdvantagesTest, AreTheSumsOverTheRestOfTheEpisode) {
  const Case recorded;
  const auto expected = numbers(recorded.json.at("advantages"));
  ASSERT_EQ(recorded.rollout.end_count(), 3) << "one is truncated, two are cut";
  EXPECT_LT(difference(recorded.found(), expected), kTolerance);

  Case as_termination;
  as_termination.rollout.terminated[8] = 1;  // the truncated step of environment 0
  as_termination.end_values.erase(as_termination.end_values.begin());
  EXPECT_GT(difference(as_termination.found(), expected), 1.0) << "the control: truncation bootstraps";
  Case no_border = recorded;
  no_border.rollout.truncated[8] = 0;
  no_border.end_values.erase(no_border.end_values.begin());
  EXPECT_GT(difference(no_border.found(), expected), 0.1) << "the control: the sum stops at a border";
}

// Worked out by hand with gamma 1/2 and lambda 1/2, one environment.
TEST(AdvantagesTest, AreThoseOfThreeEpisodesByHand) {
  Rollout rollout({5, 1, 1, 1});
  rollout.rewards = {1.0, 2.0, 4.0, 8.0, 16.0};
  rollout.terminated = {0, 1, 0, 0, 0};
  rollout.truncated = {0, 0, 0, 1, 0};
  const std::vector<double> values = {10.0, 20.0, 30.0, 40.0, 50.0}, ends = {100.0, 1000.0};
  ASSERT_EQ(rollout.end_count(), 2);
  // 4: 16 + 500 - 50 = 466, cut. 3: 8 + 50 - 40 = 18, truncated. 2: 4 + 20 - 30 = -6, and a quarter of 18.
  // 1: 2 - 20 = -18, terminated. 0: 1 + 10 - 10 = 1, and a quarter of -18.
  EXPECT_EQ(advantages(rollout, values, ends, {0.5, 0.5}),
            (std::vector<double>{-3.5, -18.0, -1.5, 18.0, 466.0}));
}

TEST(AdvantagesTest, ATerminationAtTheTimeLimitIsOne) {
  Rollout rollout({2, 1, 1, 1});
  rollout.terminated = {1, 0};
  rollout.truncated = {1, 0};
  EXPECT_FALSE(rollout.end_after(0));
  EXPECT_TRUE(rollout.end_after(1));
}

}  // namespace
}  // namespace gradstab::lab::rl
