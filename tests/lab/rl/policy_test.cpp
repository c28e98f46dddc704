// A policy out of a checkpoint, without torch.
#include "lab/rl/policy.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "lab/rl/policy_checkpoint.hpp"
#include "lab/run/checkpoint.hpp"

namespace gradstab::lab::rl {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

const EnvironmentInfo kInfo{
    .name = "Hopper-v4", .observation_size = 2, .action_size = 1, .time_limit = 5, .step_seconds = 1};

Policy toy() {
  Policy policy;
  policy.environment = "Hopper-v4";
  policy.mean = {1.0, -1.0};
  policy.variance = {4.0, 0.25};
  policy.layers = {{.inputs = 2, .outputs = 2, .weight = {1.0F, 0.5F, -1.0F, 2.0F}, .bias = {0.25F, 0.0F}},
                   {.inputs = 2, .outputs = 1, .weight = {0.5F, -0.25F}, .bias = {0.125F}}};
  policy.log_deviation = {-0.5F};
  return policy;
}

double acted(const Policy& policy, const std::vector<double>& observation) {
  double action = 0.0;
  policy.act(observation, std::span(&action, 1));
  return action;
}

TEST(PolicyTest, TheMeanActionIsTheNetworkOfTheNormalizedObservation) {
  const double a = (2.0 - 1.0) / std::sqrt(4.0 + 1.1920929e-07),
               b = (-1.5 + 1.0) / std::sqrt(0.25 + 1.1920929e-07);
  const double expected = 0.5 * std::tanh(a + 0.5 * b + 0.25) - 0.25 * std::tanh(-a + 2 * b) + 0.125;
  EXPECT_NEAR(acted(toy(), {2.0, -1.5}), expected, 1e-14);
  // Observations are clipped at ten deviations, actions at 1.
  EXPECT_EQ(acted(toy(), {1e9, -1.0}), acted(toy(), {21.0 + 1e-3, -1.0}));
  Policy strong = toy();
  strong.layers[1].bias = {7.0F};
  EXPECT_EQ(acted(strong, {2.0, -1.5}), 1.0);
}

TEST(PolicyTest, SamplesHaveTheMeanAndDeviationOfThePolicy) {
  const Policy policy = toy();
  const std::vector<double> observation = {1.0, -1.0};
  Policy narrow = policy;
  narrow.log_deviation = {-3.0F};  // 0.05: no sample reaches the limits
  double sum = 0.0, squares = 0.0;
  constexpr int kSamples = 4000;
  for (int t = 0; t < kSamples; ++t) {
    double action = 0.0;
    narrow.sample(observation, {1, 0, 0}, t, std::span(&action, 1));
    sum += action;
    squares += action * action;
  }
  const double mean = sum / kSamples, deviation = std::sqrt(squares / kSamples - mean * mean);
  EXPECT_NEAR(mean, acted(policy, observation), 5 * std::exp(-3.0) / std::sqrt(kSamples));
  EXPECT_NEAR(deviation, std::exp(-3.0), 5 * std::exp(-3.0) / std::sqrt(2.0 * kSamples));
  double once = 0.0, again = 0.0, other = 0.0;
  policy.sample(observation, {1, 0, 0}, 7, std::span(&once, 1));
  policy.sample(observation, {1, 0, 0}, 7, std::span(&again, 1));
  policy.sample(observation, {1, 0, 1}, 7, std::span(&other, 1));
  EXPECT_EQ(once, again);
  EXPECT_NE(once, other);
}

TEST(PolicyTest, ACheckpointGivesBackThePolicy) {
  const Policy policy = toy();
  PolicyCheckpoint stored(policy);
  const Policy read = policy_of(stored.checkpoint(), "it").value();
  EXPECT_TRUE(read.check(kInfo).ok());
  EXPECT_EQ(read.mean, policy.mean);
  EXPECT_EQ(read.variance, policy.variance);
  EXPECT_EQ(read.log_deviation, policy.log_deviation);
  ASSERT_EQ(read.layers.size(), 2u);
  EXPECT_EQ(read.layers[1].weight, policy.layers[1].weight);
  EXPECT_EQ(acted(read, {2.0, -1.5}), acted(policy, {2.0, -1.5}));
}

TEST(PolicyTest, WhereAnAverageIsKeptItIsWhatActs) {
  Policy average = toy();
  average.layers[0].weight[0] += 1.0F;
  PolicyCheckpoint stored(toy()), averaged(average);
  for (const auto& [name, tensor] : averaged.checkpoint().tensors)
    if (name.starts_with(kWeightPrefix))
      stored.checkpoint().tensors[std::string(kAveragePrefix) + name.substr(kWeightPrefix.size())] = tensor;
  const Policy read = policy_of(stored.checkpoint(), "it").value();
  EXPECT_EQ(read.layers[0].weight, average.layers[0].weight);
  EXPECT_NE(read.layers[0].weight, toy().layers[0].weight);
}

TEST(PolicyTest, WhatIsNoPolicyIsRefused) {
  const auto refused = [](const std::function<void(Checkpoint&)>& change) {
    PolicyCheckpoint stored(toy());
    change(stored.checkpoint());
    const auto policy = policy_of(stored.checkpoint(), "'it'");
    return policy ? policy->check(kInfo).message() : policy.status().message();
  };
  EXPECT_EQ(refused([](Checkpoint&) {}), "") << "the control";
  EXPECT_EQ(refused([](Checkpoint& c) { c.header["task"] = "llm"; }),
            "'it' is a checkpoint of the task 'llm', expected one of 'rl'");
  EXPECT_THAT(refused([](Checkpoint& c) { c.header["settings"].erase("environment"); }),
              HasSubstr("'it': settings.environment"));
  EXPECT_THAT(refused([](Checkpoint& c) { c.tensors.erase("task/observation_mean"); }),
              HasSubstr("'it' has no tensor 'task/observation_mean'"));
  EXPECT_THAT(refused([](Checkpoint& c) { c.tensors.erase("weights/actor.0.weight"); }),
              HasSubstr("'it' has no tensor 'weights/actor.0.weight'"));
  EXPECT_THAT(refused([](Checkpoint& c) { c.tensors["weights/log_std"].dtype = DType::float64; }),
              HasSubstr("is float64 [1], expected float32 with 1 dimension(s)"));
  EXPECT_THAT(refused([](Checkpoint& c) {
                std::swap(c.tensors["weights/actor.0.weight"], c.tensors["weights/actor.2.weight"]);
              }),
              HasSubstr("layer 0 of the policy"));
  EXPECT_THAT(refused([](Checkpoint& c) { c.header["settings"]["environment"] = "Ant-v4"; }),
              HasSubstr("trained in Ant-v4, not in Hopper-v4"));
  EXPECT_THAT(refused([](Checkpoint& c) {
                std::swap(c.tensors["task/observation_mean"], c.tensors["task/observation_variance"]);
              }),
              HasSubstr("moments of observations are not valid"));
}

}  // namespace
}  // namespace gradstab::lab::rl
