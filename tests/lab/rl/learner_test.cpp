// What PPO learns from, worked out again in another way.
#include "lab/rl/learner.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "lab/rl/collector.hpp"
#include "tests/lab/rl/toy_environment.hpp"

namespace gradstab::lab::rl {
namespace {

using torch::Tensor;

constexpr RolloutShape kShape{8, 3, 2, 2};
constexpr nn::CounterKey kKey{4, 5};

/// A model, and a rollout that it has made in environments whose episodes end after five steps.
class LearnerTest : public ::testing::Test {
 protected:
  LearnerTest()
      : collector_(
            VectorEnvironment(std::make_unique<LineEnvironment>(LineRules{.time_limit = 5}), 3, 1, 1)) {
    collector_.reset().check();
    const torch::NoGradGuard no_grad;
    const float deviation = std::exp(-0.5F);
    const GaussianPolicy policy{[&](std::span<const float> observations, std::span<float> means) {
                                  std::vector<float> copy(observations.begin(), observations.end());
                                  const Tensor found = model_->actor().forward(as_tensor(copy, {3, 2}));
                                  std::copy_n(found.data_ptr<float>(), means.size(), means.begin());
                                },
                                {deviation, deviation}};
    collector_.collect(policy, kKey, learner_.rollout()).check();
    learner_.begin_collect(model_);
  }

  ActorCritic model_{ActorCriticShape{2, 2, 8}, 7};
  Collector collector_;
  Learner learner_{kShape, {0.9, 0.8}, 6};
};

// The densities that all passes compare with are those of the noise that was drawn: what acted and what is
// learned from are one policy, with observations normalized in the same way.
TEST_F(LearnerTest, TheFirstRatioIsOne) {
  learner_.begin_pass(model_);
  const Minibatch batch = learner_.minibatch(1, 0);
  const torch::NoGradGuard no_grad;
  const Tensor now =
      log_densities(model_->actor().forward(batch.observations), model_->log_std(), batch.actions);
  // A density is a sum of a few numbers below ten.
  constexpr double kRounding = 64 * 1.2e-7;
  EXPECT_LT(((now - batch.log_densities).exp() - 1).abs().max().item<double>(), kRounding);

  std::multiset<float> drawn;
  const Learner& learner = learner_;
  for (std::int64_t s = 0; s < kShape.samples(); ++s) {
    double density = 0.0;
    for (std::uint64_t a = 0; a < 2; ++a) {
      const double noise = nn::counter_normal(static_cast<std::uint64_t>(2 * s) + a, kKey);
      density -= 0.5 * noise * noise - 0.5 + 0.5 * std::log(2 * std::acos(-1.0));
    }
    drawn.insert(static_cast<float>(density));
  }
  std::multiset<float> kept;
  for (std::int64_t n = 0; n < learner.minibatches(); ++n) {
    const Tensor part = learner_.minibatch(1, n).log_densities;
    for (std::int64_t i = 0; i < part.size(0); ++i) kept.insert(part[i].item<float>());
  }
  ASSERT_EQ(kept.size(), drawn.size());
  for (auto a = kept.begin(), b = drawn.begin(); a != kept.end(); ++a, ++b)
    EXPECT_NEAR(*a, *b, kRounding * 10);

  {
    auto bias = model_->named_parameters()["actor.4.bias"];
    bias += 0.1F;
  }
  const Tensor later =
      log_densities(model_->actor().forward(batch.observations), model_->log_std(), batch.actions);
  EXPECT_GT(((later - batch.log_densities).exp() - 1).abs().max().item<double>(), 0.01) << "the control";
}

TEST_F(LearnerTest, ReturnsAreScaledByTheDeviationOfThoseBefore) {
  const auto numbers = [](const Tensor& tensor) {
    const Tensor flat = tensor.to(torch::kDouble).contiguous();
    return std::vector<double>(flat.data_ptr<double>(), flat.data_ptr<double>() + flat.numel());
  };
  std::vector<double> seen;  // all returns so far
  double deviation = std::sqrt(1.0 + 1e-8);
  for (int pass = 0; pass < 3; ++pass) {
    learner_.begin_pass(model_);
    const torch::NoGradGuard no_grad;
    Rollout& rollout = learner_.rollout();
    auto values = numbers(model_->critic().forward(as_tensor(rollout.observations, {24, 2})).view({-1}));
    auto ends =
        numbers(model_->critic().forward(as_tensor(rollout.ends, {rollout.end_count(), 2})).view({-1}));
    EXPECT_EQ(numbers(learner_.values()), values) << "in the critic's own units";
    for (auto* list : {&values, &ends})
      for (double& value : *list) value *= deviation;
    const auto expected = advantages(rollout, values, ends, {0.9, 0.8});
    const auto found = numbers(learner_.advantages()), targets = numbers(learner_.targets());
    for (std::size_t i = 0; i < expected.size(); ++i) {
      EXPECT_FLOAT_EQ(static_cast<float>(found[i]), static_cast<float>(expected[i]));
      EXPECT_FLOAT_EQ(static_cast<float>(targets[i]),
                      static_cast<float>((expected[i] + values[i]) / deviation));
      seen.push_back(expected[i] + values[i]);
    }
    double mean = 0.0, squares = 0.0;
    for (const double value : seen) mean += value / static_cast<double>(seen.size());
    for (const double value : seen) squares += (value - mean) * (value - mean);
    const double before = deviation;
    deviation = std::sqrt(squares / static_cast<double>(seen.size()) + 1e-8);
    EXPECT_NEAR(std::sqrt(learner_.return_moments().variance[0] + 1e-8), deviation, 1e-12 * deviation);
    EXPECT_GT(std::abs(deviation - before), 1e-6) << "the control: the scale moves with every pass";
  }
  EXPECT_EQ(learner_.return_moments().count, 3 * 24) << "in every pass";
}

TEST_F(LearnerTest, APassGoesThroughEverySampleOnce) {
  learner_.begin_pass(model_);
  const auto order = [&](std::uint64_t key) {
    std::vector<float> actions;
    for (std::int64_t n = 0; n < learner_.minibatches(); ++n) {
      const Tensor part = learner_.minibatch(key, n).actions.contiguous();
      EXPECT_EQ(part.size(0), 6);
      for (std::int64_t i = 0; i < part.size(0); ++i) actions.push_back(part[i][0].item<float>());
    }
    return actions;
  };
  const auto first = order(1), second = order(2);
  EXPECT_NE(first, second) << "each pass has an order of its own";
  EXPECT_EQ(first, order(1));
  const std::multiset<float> all(first.begin(), first.end());
  EXPECT_EQ(all, std::multiset<float>(second.begin(), second.end()));
  std::multiset<float> drawn;
  for (std::size_t s = 0; s < 24; ++s) drawn.insert(learner_.rollout().actions[2 * s]);
  EXPECT_EQ(all, drawn);
}

}  // namespace
}  // namespace gradstab::lab::rl
