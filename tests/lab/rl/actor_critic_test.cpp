// The networks: sizes, names, and what they begin with.
#include "lab/rl/actor_critic.hpp"

#include <gtest/gtest.h>

#include <cmath>

namespace gradstab::lab::rl {
namespace {

using torch::Tensor;

std::int64_t count_of(const Mlp& mlp) {
  std::int64_t count = 0;
  for (std::size_t i = 0; i < 3; ++i) count += mlp.weights[i].numel() + mlp.biases[i].numel();
  return count;
}

// As counted from the shapes that the recipe has: observations, actions, actor with log_std, critic.
TEST(ActorCriticTest, HasTheParametersOfTheRecipe) {
  struct Sizes {
    std::int64_t observations, actions, actor, critic;
  };
  for (const auto& [observations, actions, actor, critic] :
       {Sizes{17, 6, 5708, 5377}, Sizes{11, 3, 5126, 4993}, Sizes{27, 8, 6480, 6017}}) {
    const ActorCritic model(ActorCriticShape{observations, actions, 64}, 0);
    EXPECT_EQ(count_of(model->actor()) + model->log_std().numel(), actor);
    EXPECT_EQ(count_of(model->critic()), critic);
    EXPECT_EQ(model->parameter_count(), actor + critic);
    std::int64_t named = 0;
    for (const auto& item : model->named_parameters()) named += item.value().numel();
    EXPECT_EQ(named, actor + critic) << "each under one name";
  }
  const ActorCritic model(ActorCriticShape{3, 2, 4}, 0);
  for (const char* name :
       {"actor.0.weight", "actor.2.bias", "actor.4.weight", "log_std", "critic.0.bias", "critic.4.weight"})
    EXPECT_NE(model->named_parameters().find(name), nullptr) << name;
}

TEST(ActorCriticTest, BeginsWithOrthogonalWeights) {
  const ActorCritic model(ActorCriticShape{17, 6, 64}, 5);
  // Of the shorter side, since not more vectors than their length are orthogonal.
  const auto squares = [](const Tensor& weight) {
    const Tensor w = weight.detach().to(torch::kDouble);
    return w.size(0) <= w.size(1) ? torch::mm(w, w.t()) : torch::mm(w.t(), w);
  };
  const auto expect_gain = [&](const Tensor& weight, double gain) {
    const Tensor found = squares(weight);
    const Tensor expected = gain * gain * torch::eye(found.size(0), torch::kDouble);
    // Sums of 64 products of numbers that were rounded to float.
    EXPECT_LT((found - expected).abs().max().item<double>(), 64 * 1.2e-7 * gain * gain);
  };
  const double root = std::sqrt(2.0);
  expect_gain(model->actor().weights[0], root);
  expect_gain(model->actor().weights[1], root);
  expect_gain(model->actor().weights[2], 0.01 * root);
  expect_gain(model->critic().weights[2], root);
  for (const Mlp* mlp : {&model->actor(), &model->critic()})
    for (const Tensor& bias : mlp->biases) EXPECT_EQ(bias.abs().max().item<float>(), 0.0F);
  EXPECT_TRUE(torch::equal(model->log_std(), torch::full({6}, -0.5)));
}

TEST(ActorCriticTest, WeightsAreAFunctionOfTheSeed) {
  const ActorCriticShape shape{5, 2, 8};
  const ActorCritic a(shape, 1), b(shape, 1), c(shape, 2);
  EXPECT_TRUE(torch::equal(a->actor().weights[1], b->actor().weights[1]));
  EXPECT_FALSE(torch::equal(a->actor().weights[1], c->actor().weights[1]));
  EXPECT_FALSE(torch::equal(a->actor().weights[1], a->critic().weights[1]));
}

}  // namespace
}  // namespace gradstab::lab::rl
