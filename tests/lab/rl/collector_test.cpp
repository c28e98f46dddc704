// What is kept of the steps: observations as they were normalized when they came, and the ends of episodes.
#include "lab/rl/collector.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "tests/lab/rl/toy_environment.hpp"

namespace gradstab::lab::rl {
namespace {

using ::testing::HasSubstr;

/// Always the same mean, without deviation.
GaussianPolicy push(float first, float second) {
  return {[=](std::span<const float>, std::span<float> means) {
            for (std::size_t i = 0; i < means.size(); i += 2) {
              means[i] = first;
              means[i + 1] = second;
            }
          },
          {0.0F, 0.0F}};
}

Collector collector_of(const LineRules& rules, int environments, int threads = 1) {
  return Collector(VectorEnvironment(std::make_unique<LineEnvironment>(rules), environments, 3, threads));
}

TEST(CollectorTest, AnEndKeepsTheLastObservationAndNotTheOneAfterTheReset) {
  // Time limit 3: steps 2 and 5 are truncated, step 6 is cut.
  Collector collector = collector_of({.time_limit = 3}, 1);
  ASSERT_TRUE(collector.reset().ok());
  Rollout rollout({7, 1, 2, 2});
  ASSERT_TRUE(collector.collect(push(0.5F, 0.0F), {1, 2}, rollout).ok());
  EXPECT_EQ(rollout.truncated, (std::vector<char>{0, 0, 1, 0, 0, 1, 0}));
  EXPECT_EQ(rollout.terminated, std::vector<char>(7));
  ASSERT_EQ(rollout.end_count(), 3);
  ASSERT_EQ(rollout.ends.size(), 6u);

  // The same by hand: each observation is counted once, and then normalized.
  RunningMoments moments(2);
  std::vector<double> place = {0.0, 0.0};
  LineEnvironment line({.time_limit = 3});
  const auto count = [&] {
    line.observe(place);
    moments.merge(place);
    std::vector<float> normalized(2);
    normalize(moments, place, normalized);
    return normalized;
  };
  std::vector<float> observations, ends;
  ASSERT_TRUE(line.reset({3, 0, 0}).ok());
  std::vector<float> current = count();
  std::uint64_t episode = 0;
  for (int step = 0; step < 7; ++step) {
    observations.insert(observations.end(), current.begin(), current.end());
    const auto outcome = line.step(std::vector<double>{0.5, 0.0});
    current = count();
    if (outcome->truncated || step == 6) ends.insert(ends.end(), current.begin(), current.end());
    if (!outcome->truncated) continue;
    ASSERT_TRUE(line.reset({3, 0, ++episode}).ok());
    current = count();
  }
  EXPECT_EQ(rollout.observations, observations);
  EXPECT_EQ(rollout.ends, ends);
  EXPECT_EQ(collector.current(), current);
  EXPECT_EQ(collector.moments().mean, moments.mean);
  EXPECT_EQ(collector.moments().variance, moments.variance);
  EXPECT_EQ(collector.moments().count, 1 + 7 + 2) << "each reset once";
  // A place near 6.5 at an end, and near 1000 behind a reset.
  EXPECT_LT(rollout.ends[0], 0.0F);
  EXPECT_GT(rollout.observations[2 * 3], 1.0F);
}

TEST(CollectorTest, ATerminatedEpisodeKeepsNoEnd) {
  Collector collector = collector_of({.time_limit = 100, .far = 6.2}, 1);
  ASSERT_TRUE(collector.reset().ok());
  Rollout rollout({4, 1, 2, 2});
  ASSERT_TRUE(collector.collect(push(0.5F, 0.0F), {1, 2}, rollout).ok());
  std::int64_t terminations = 0;
  for (const char flag : rollout.terminated) terminations += flag;
  EXPECT_GE(terminations, 1);
  EXPECT_EQ(static_cast<std::size_t>(rollout.end_count() * 2), rollout.ends.size());
  EXPECT_EQ(collector.moments().count, 1 + 4 + terminations);
}

TEST(CollectorTest, ActionsAreKeptAsDrawnAndClippedForTheEnvironment) {
  Collector collector = collector_of({}, 2);
  ASSERT_TRUE(collector.reset().ok());
  Rollout rollout({2, 2, 2, 2});
  ASSERT_TRUE(collector.collect(push(5.0F, -3.0F), {1, 2}, rollout).ok());
  EXPECT_EQ(rollout.actions[0], 5.0F);
  EXPECT_EQ(rollout.actions[1], -3.0F);
  LineEnvironment line;
  ASSERT_TRUE(line.reset({3, 1, 0}).ok());
  EXPECT_EQ(rollout.rewards[1], line.step(std::vector<double>{1.0, -1.0})->reward);
}

TEST(CollectorTest, RolloutsAreTheSameForAnyNumberOfThreadsAndInPieces) {
  GaussianPolicy policy = push(0.1F, 0.2F);
  policy.deviation = {0.5F, 0.7F};
  Collector one = collector_of({}, 5), four = collector_of({}, 5, 4);
  ASSERT_TRUE(one.reset().ok());
  ASSERT_TRUE(four.reset().ok());
  Rollout a({9, 5, 2, 2}), b = a;
  ASSERT_TRUE(one.collect(policy, {1, 2}, a).ok());
  ASSERT_TRUE(four.collect(policy, {1, 2}, b).ok());
  EXPECT_EQ(a.observations, b.observations);
  EXPECT_EQ(a.actions, b.actions);
  EXPECT_EQ(a.rewards, b.rewards);
  EXPECT_EQ(a.ends, b.ends);
  EXPECT_NE(a.actions[0], a.actions[2]) << "environments draw their own";
  ASSERT_TRUE(four.collect(policy, {1, 3}, b).ok());
  EXPECT_NE(a.actions, b.actions) << "the control: another key";
}

TEST(CollectorTest, AnActionThatIsNoNumberIsAnErrorThatNamesIt) {
  Collector collector = collector_of({}, 2);
  ASSERT_TRUE(collector.reset().ok());
  Rollout rollout({2, 2, 2, 2});
  const Status status =
      collector.collect(push(0.0F, std::numeric_limits<float>::quiet_NaN()), {1, 2}, rollout);
  EXPECT_EQ(status.code(), StatusCode::non_finite);
  EXPECT_THAT(status.message(), HasSubstr("action 1 for environment 0 is nan"));
}

}  // namespace
}  // namespace gradstab::lab::rl
