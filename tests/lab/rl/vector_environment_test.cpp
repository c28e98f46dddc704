// Environments side by side: the same numbers for any number of threads, and what happens where episodes end.
#include "lab/rl/environments/vector_environment.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <numeric>

#include "lab/rl/environments/mujoco_module.hpp"
#include "lab/rl/environments/thread_team.hpp"

namespace gradstab::lab::rl {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Numbers = std::vector<double>;

/// Counts its steps and sees {number of the environment, steps + 1000 * episode}. Episodes of environment i
/// terminate after i + 3 steps, but are truncated after 5. An action above 1 is an error.
class Counting final : public Environment {
 public:
  const EnvironmentInfo& info() const noexcept override { return info_; }
  std::unique_ptr<Environment> another() const override { return std::make_unique<Counting>(); }
  Status reset(const EpisodeKey& key) override {
    state_ = {};
    state_.key = key;
    return {};
  }
  Result<StepOutcome> step(std::span<const double> action) override {
    if (action[0] > 1.0) return Status(StatusCode::non_finite, "too much");
    ++state_.steps;
    state_.episode_return += action[0];
    const bool terminated = state_.steps == static_cast<std::int64_t>(state_.key.environment) + 3;
    return StepOutcome{
        .reward = action[0], .terminated = terminated, .truncated = !terminated && state_.steps == 5};
  }
  void observe(std::span<double> observation) const override {
    observation[0] = static_cast<double>(state_.key.environment);
    observation[1] = static_cast<double>(state_.steps) + 1000.0 * static_cast<double>(state_.key.episode);
  }
  EnvironmentState save() const override { return state_; }
  Status restore(const EnvironmentState& state) override {
    state_ = state;
    return {};
  }
  std::span<const Shape> shapes() const noexcept override { return {}; }
  void poses(std::span<ShapePose>) const override {}
  bool planar() const noexcept override { return true; }

 private:
  EnvironmentInfo info_{
      .name = "Counting", .observation_size = 2, .action_size = 1, .time_limit = 5, .step_seconds = 1};
  EnvironmentState state_;
};

VectorEnvironment counting(int count, int threads = 1) {
  return {std::make_unique<Counting>(), count, 0, threads};
}

TEST(VectorEnvironmentTest, TheLastObservationOfAnEpisodeIsKeptApartFromTheFirstOfTheNext) {
  VectorEnvironment environments = counting(4);
  environments.reset().check();
  VectorStep outcome;
  for (int t = 1; t <= 2; ++t) environments.step(Numbers(4, 0.5), outcome).check();
  EXPECT_TRUE(outcome.finished.empty());
  environments.step(Numbers(4, 0.25), outcome).check();  // the third step: 0 terminates
  EXPECT_THAT(outcome.terminated, ElementsAre(1, 0, 0, 0));
  EXPECT_THAT(outcome.truncated, ElementsAre(0, 0, 0, 0));
  EXPECT_THAT(outcome.next_observations, ElementsAre(0, 3, 1, 3, 2, 3, 3, 3));
  const auto now = environments.observations();
  EXPECT_THAT(Numbers(now.begin(), now.end()), ElementsAre(0, 1000, 1, 3, 2, 3, 3, 3));
  ASSERT_EQ(outcome.finished.size(), 1u);
  EXPECT_EQ(outcome.finished[0].length, 3);
  EXPECT_EQ(outcome.finished[0].episode_return, 1.25);
  EXPECT_TRUE(outcome.finished[0].terminated);
  environments.step(Numbers(4, 0.0), outcome).check();  // 1 terminates
  environments.step(Numbers(4, 0.0), outcome).check();  // 2 terminates at its limit, 3 is truncated
  EXPECT_THAT(outcome.terminated, ElementsAre(0, 0, 1, 0));
  EXPECT_THAT(outcome.truncated, ElementsAre(0, 0, 0, 1));
  ASSERT_EQ(outcome.finished.size(), 2u);
  EXPECT_EQ(outcome.finished[1].environment, 3);
  EXPECT_FALSE(outcome.finished[1].terminated);
  EXPECT_THAT(outcome.next_observations, ElementsAre(0, 1002, 1, 1001, 2, 5, 3, 5));
}

TEST(VectorEnvironmentTest, AnErrorNamesTheFirstEnvironmentAndWrongSizesAreRefused) {
  VectorEnvironment environments = counting(3, 2);
  environments.reset().check();
  VectorStep outcome;
  EXPECT_EQ(environments.step(Numbers{0, 2, 2}, outcome).message(), "environment 1: too much");
  EXPECT_THAT(environments.step(Numbers(4), outcome).message(),
              HasSubstr("3 environments need actions of 3 numbers, got 4"));
  EXPECT_THAT(environments.restore(counting(2).save()).message(), HasSubstr("of 2 environments, expected 3"));
  std::string bytes = environments.save_bytes();
  bytes.pop_back();
  EXPECT_EQ(environments.restore_bytes(bytes).code(), StatusCode::corrupt_data);
}

TEST(VectorEnvironmentTest, EpisodesGoOnFromSavedBytes) {
  VectorEnvironment whole = counting(4);
  whole.reset().check();
  VectorStep outcome, resumed;
  for (int t = 0; t < 4; ++t) whole.step(Numbers(4, 0.5), outcome).check();
  VectorEnvironment other = counting(4);
  other.restore_bytes(whole.save_bytes()).check();
  whole.step(Numbers(4, 0.5), outcome).check();
  other.step(Numbers(4, 0.5), resumed).check();
  EXPECT_EQ(outcome.next_observations, resumed.next_observations);
  ASSERT_EQ(outcome.finished.size(), resumed.finished.size());
  for (std::size_t i = 0; i < outcome.finished.size(); ++i) {
    EXPECT_EQ(outcome.finished[i].episode_return, resumed.finished[i].episode_return);
    EXPECT_EQ(outcome.finished[i].length, resumed.finished[i].length);
  }
}

TEST(VectorEnvironmentTest, RobotsMoveTheSameForAnyNumberOfThreads) {
  if (const auto module = mujoco_module(); !module) GTEST_SKIP() << module.status().message();
  const auto run = [](int threads, std::uint64_t seed) {
    VectorEnvironment environments(std::move(make_environment("hopper")).value(), 5, seed, threads);
    environments.reset().check();
    VectorStep outcome;
    Numbers all;
    for (int t = 0; t < 150; ++t) {
      Numbers actions(15);
      for (std::size_t i = 0; i < actions.size(); ++i)
        actions[i] = std::sin(0.3 * t + static_cast<double>(i));
      environments.step(actions, outcome).check();
      all.insert(all.end(), outcome.next_observations.begin(), outcome.next_observations.end());
      all.insert(all.end(), outcome.rewards.begin(), outcome.rewards.end());
      for (const FinishedEpisode& episode : outcome.finished) all.push_back(episode.episode_return);
    }
    return all;
  };
  const Numbers expected = run(1, 0);
  for (const int threads : {2, 3, 9}) EXPECT_EQ(run(threads, 0), expected);
  EXPECT_NE(run(1, 1), expected) << "the control";
}

TEST(ThreadTeamTest, EveryPieceIsDoneOnce) {
  for (const int threads : {1, 2, 4}) {
    ThreadTeam team(threads);
    for (const int count : {0, 1, 3, 100}) {
      std::vector<std::atomic<int>> done(static_cast<std::size_t>(count));
      for (int repeat = 0; repeat < 20; ++repeat)
        team.run(count, [&](int i) { ++done[static_cast<std::size_t>(i)]; });
      for (const auto& times : done) EXPECT_EQ(times, 20);
    }
  }
}

}  // namespace
}  // namespace gradstab::lab::rl
