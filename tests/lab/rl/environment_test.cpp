// Episodes of the environments: what they begin with, when they end, and that they go on from a saved state.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <numeric>
#ifdef __SSE2__
#include <immintrin.h>
#endif

#include "lab/nn/counter_random.hpp"
#include "lab/rl/environments/mujoco_environment.hpp"

namespace gradstab::lab::rl {
namespace {

using ::testing::AllOf;
using ::testing::Each;
using ::testing::HasSubstr;
using Numbers = std::vector<double>;

class EnvironmentTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (const auto module = mujoco_module(); !module) GTEST_SKIP() << module.status().message();
  }
  static std::unique_ptr<Environment> made(const std::string& name) {
    return std::move(make_environment(name)).value();
  }

  static Numbers action(const Environment& environment, std::int64_t step, std::uint64_t seed = 1) {
    const nn::CounterKey key = nn::Draw{seed, 0}.key(0);
    Numbers numbers(static_cast<std::size_t>(environment.info().action_size));
    for (std::size_t i = 0; i < numbers.size(); ++i)
      numbers[i] = 2.0 * nn::counter_uniform(static_cast<std::uint64_t>(step) * 8 + i, key) - 1.0;
    return numbers;
  }
  /// Observation, reward and end of so many steps, beginning a new episode after each end.
  static Numbers steps(Environment& environment, std::int64_t from, std::int64_t to) {
    Numbers all, seen(static_cast<std::size_t>(environment.info().observation_size));
    for (std::int64_t t = from; t < to; ++t) {
      const auto outcome = environment.step(action(environment, t));
      outcome.status().check();
      environment.observe(seen);
      all.insert(all.end(), seen.begin(), seen.end());
      all.insert(all.end(), {outcome->reward, outcome->terminated ? 1.0 : 0.0});
      if (!outcome->ended()) continue;
      EpisodeKey key = environment.save().key;
      ++key.episode;
      environment.reset(key).check();
    }
    return all;
  }
};

TEST_F(EnvironmentTest, NamesAreFoundInAnyCaseAndWithoutVersion) {
  EXPECT_EQ(environment_name("walker2D").value(), "Walker2d-v4");
  EXPECT_EQ(environment_name("HALFCHEETAH-V4").value(), "HalfCheetah-v4");
  EXPECT_THAT(environment_name("ants").status().message(),
              HasSubstr("unknown environment 'ants'; the nearest is 'Ant-v4'"));
  EXPECT_EQ(environment_name("Ant-v5").status().code(), StatusCode::invalid_argument);
}

TEST_F(EnvironmentTest, SizesAreThoseOfTheTables) {
  const auto sizes = [](const std::string& name) {
    const EnvironmentInfo info = made(name)->info();
    return std::tuple(info.observation_size, info.action_size, info.time_limit, info.step_seconds);
  };
  EXPECT_EQ(sizes("halfcheetah"), std::tuple(17, 6, 1000, 0.05));
  EXPECT_EQ(sizes("ant"), std::tuple(27, 8, 1000, 0.05));
  EXPECT_EQ(sizes("hopper"), std::tuple(11, 3, 1000, 0.008));
  EXPECT_EQ(sizes("walker2d"), std::tuple(17, 6, 1000, 0.008));
}

TEST_F(EnvironmentTest, AResumedEpisodeIsTheSameBitForBit) {
  for (const std::string& name : environment_names()) {
    const auto whole = made(name);
    whole->reset({3, 1, 0}).check();
    int without_acceleration = 0, without_torso = 0;
    for (std::int64_t t = 0; t < 200; t += 25) {
      const EnvironmentState saved = whole->save();
      const auto resumed = [&](const EnvironmentState& state) {
        const auto environment = whole->another();
        environment->restore(state).check();
        return steps(*environment, t, t + 50);
      };
      const Numbers expected = resumed(saved);
      EXPECT_EQ(resumed(decode_state(encode_state(saved)).value()), expected) << name;
      EnvironmentState less = saved;
      less.acceleration.assign(less.acceleration.size(), 0.0);
      without_acceleration += resumed(less) == expected ? 0 : 1;
      less = saved;
      less.torso = {};
      without_torso += resumed(less) == expected ? 0 : 1;
      const Numbers went_on = steps(*whole, t, t + 25);
      EXPECT_EQ(Numbers(expected.begin(), expected.begin() + static_cast<std::ptrdiff_t>(went_on.size())),
                went_on)
          << name;
    }
    // The controls: what seems not to belong to a state.
    EXPECT_GT(without_acceleration, 0) << name;
    EXPECT_EQ(without_torso > 0, name == "Ant-v4") << name;
  }
}

TEST_F(EnvironmentTest, AStateOfAnotherEnvironmentIsRefused) {
  const auto hopper = made("hopper"), ant = made("ant");
  hopper->reset({}).check();
  ant->reset({}).check();
  const EnvironmentState before = ant->save();
  EXPECT_THAT(ant->restore(hopper->save()).message(),
              HasSubstr("the saved state has 6 coordinates and 6 velocities; Ant-v4 has 15 and 14"));
  EXPECT_EQ(ant->save(), before);
  std::string bytes = encode_state(before);
  EXPECT_EQ(decode_state(bytes.substr(0, bytes.size() - 9)).status().code(), StatusCode::corrupt_data);
  bytes[40] ^= 1;
  EXPECT_THAT(decode_state(bytes).status().message(), HasSubstr("damaged"));
}

TEST_F(EnvironmentTest, TheTimeLimitTruncatesAndTheNextStepNeedsAReset) {
  const auto environment = made("halfcheetah");
  EXPECT_EQ(environment->step(Numbers(6)).status().code(), StatusCode::failed_precondition);
  environment->reset({}).check();
  for (int t = 0; t < 999; ++t) ASSERT_FALSE(environment->step(Numbers(6)).value().ended());
  const StepOutcome last = environment->step(Numbers(6)).value();
  EXPECT_TRUE(last.truncated);
  EXPECT_FALSE(last.terminated);
  EXPECT_THAT(environment->step(Numbers(6)).status().message(), HasSubstr("it needs a reset first"));
}

TEST_F(EnvironmentTest, AFallTerminatesAndIsStillPaidForHealth) {
  const auto environment = made("hopper");
  environment->reset({}).check();
  StepOutcome outcome;
  for (int t = 0; t < 200 && !outcome.ended(); ++t) outcome = environment->step(Numbers{-1, 1, 1}).value();
  EXPECT_TRUE(outcome.terminated);
  EXPECT_EQ(outcome.reward_healthy, 1.0);
  EXPECT_EQ(outcome.reward_control, -3e-3);
}

TEST_F(EnvironmentTest, ResetsDrawTheNoiseOfTheirKey) {
  struct Noise {
    const char* name;
    double position, velocity;
    bool normal;
  };
  for (const auto& [name, position, velocity, normal] :
       {Noise{"halfcheetah", 0.1, 0.1, true}, Noise{"hopper", 5e-3, 5e-3, false},
        Noise{"walker2d", 5e-3, 5e-3, false}}) {
    const auto environment = made(name);
    double largest = 0.0, fastest = 0.0, squares = 0.0, sum = 0.0;
    int count = 0;
    constexpr int kResets = 400;
    for (std::uint64_t episode = 0; episode < kResets; ++episode) {
      environment->reset({0, 0, episode}).check();
      EnvironmentState state = environment->save();
      if (!normal) state.position[1] -= 1.25;
      for (const double q : state.position) largest = std::max(largest, std::abs(q)), sum += q;
      for (const double v : state.velocity)
        fastest = std::max(fastest, std::abs(v)), squares += v * v, ++count;
    }
    EXPECT_LE(largest, position + 1e-15) << name;
    EXPECT_GT(largest, 0.99 * position) << name;
    // Of a mean of uniform numbers, and of a mean of squares: five standard deviations.
    EXPECT_LT(std::abs(sum / count), 5 * position / std::sqrt(3.0 * count)) << name;
    const double variance = normal ? velocity * velocity : velocity * velocity / 3;
    EXPECT_NEAR(squares / count, variance, 5 * variance * std::sqrt(2.0 / count)) << name;
    if (!normal) {
      EXPECT_LE(fastest, velocity) << name;
    }
  }
  const auto start = [](const EpisodeKey& key) {
    const auto environment = made("ant");
    environment->reset(key).check();
    return environment->save().position;
  };
  EXPECT_EQ(start({1, 2, 3}), start({1, 2, 3}));
  for (const EpisodeKey& key : {EpisodeKey{2, 2, 3}, EpisodeKey{1, 3, 3}, EpisodeKey{1, 2, 4}})
    EXPECT_NE(start({1, 2, 3}), start(key));
  const auto ant = start({1, 2, 3});
  EXPECT_NEAR(std::hypot(ant[3], ant[4], std::hypot(ant[5], ant[6])), 1.0, 1e-12) << "the turn is normalized";
}

TEST_F(EnvironmentTest, ActionsThatAreNoneAreRefused) {
  const auto environment = made("hopper");
  environment->reset({}).check();
  EXPECT_EQ(environment->step(Numbers{0, 0}).status().code(), StatusCode::shape_mismatch);
  EXPECT_THAT(environment->step(Numbers{0, NAN, 0}).status().message(),
              HasSubstr("number 1 of the action is nan"));
  EXPECT_EQ(environment->step(Numbers{0, 0, INFINITY}).status().code(), StatusCode::non_finite);
  EXPECT_THAT(environment->step(Numbers{0, 1e300, 0}).status().message(),
              HasSubstr("number 1 of the action is 1e+300, too large"));
  EXPECT_EQ(environment->save().steps, 0) << "nothing has moved";
}

TEST_F(EnvironmentTest, ALostSimulationIsAnErrorAndLeavesNoFile) {
  const auto spec = find_environment("halfcheetah").value();
  MujocoEnvironment environment(*spec, compile_model(*spec).value());
  Numbers velocity(9);
  velocity[4] = 1e12;
  const Status begun = environment.start_at(Numbers(9), velocity);
  const Status status = begun.ok() ? environment.step(Numbers(6)).status() : begun;
  EXPECT_EQ(status.code(), StatusCode::non_finite);
  EXPECT_THAT(status.message(), AllOf(HasSubstr("HalfCheetah-v4: the simulation is lost"), HasSubstr("Q")));
  EXPECT_FALSE(std::filesystem::exists("MUJOCO_LOG.TXT"));
  environment.reset({}).check();
  EXPECT_TRUE(environment.step(Numbers(6)).ok()) << "another episode is as good as ever";
}

TEST_F(EnvironmentTest, ShapesAreBonesOfTheLengthsOfTheTables) {
  const auto environment = made("halfcheetah");
  environment->reset({}).check();
  const EnvironmentState before = environment->save();
  std::vector<ShapePose> poses(environment->shapes().size());
  ASSERT_EQ(poses.size(), 8u);
  environment->poses(poses);
  EXPECT_EQ(environment->save(), before);
  Numbers lengths;
  for (std::size_t i = 0; i < poses.size(); ++i) {
    const auto& [from, to] = poses[i];
    lengths.push_back(std::hypot(to[0] - from[0], to[1] - from[1], to[2] - from[2]) / 2);
    EXPECT_NEAR(lengths.back(), environment->shapes()[i].half_length, 1e-12);
    EXPECT_EQ(environment->shapes()[i].radius, 0.046);
  }
  EXPECT_THAT(lengths, ::testing::Pointwise(::testing::DoubleNear(1e-12),
                                            {0.5, 0.15, 0.145, 0.15, 0.094, 0.133, 0.106, 0.07}));
  // The torso lies where the coordinates say: it turns about the middle of its own body.
  const double x = before.position[0], z = 0.7 + before.position[1];
  EXPECT_NEAR((poses[0].from[0] + poses[0].to[0]) / 2, x, 1e-12);
  EXPECT_NEAR((poses[0].from[2] + poses[0].to[2]) / 2, z, 1e-12);
}

#ifdef __SSE2__
TEST_F(EnvironmentTest, AThreadThatRoundsOtherwiseSimulatesTheSame) {
  const auto places = [](unsigned mode) {
    const auto environment = made("walker2d");
    environment->reset({5, 0, 0}).check();
    Numbers found;
    for (std::int64_t t = 0; t < 60; ++t) {
      const Numbers acting = action(*environment, t);
      const unsigned before = _mm_getcsr();
      _mm_setcsr(before | mode);
      const auto outcome = environment->step(acting);
      _mm_setcsr(before);
      if (outcome->ended()) environment->reset({5, 0, environment->save().key.episode + 1}).check();
      found.push_back(environment->save().position[0]);
    }
    return found;
  };
  constexpr unsigned kFlushDenormals = 0x8040U, kRoundUp = 0x4000U;
  EXPECT_EQ(places(kFlushDenormals | kRoundUp), places(0));
}
#endif

}  // namespace
}  // namespace gradstab::lab::rl
