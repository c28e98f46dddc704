// The loss as one node against numpy's numbers, and against the same of PyTorch operations.
#include "lab/rl/ppo_loss.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "tests/lab/rl/golden.hpp"

namespace gradstab::lab::rl {
namespace {

using torch::Tensor;

Tensor tensor_of(const nlohmann::json& list, at::IntArrayRef sizes) {
  return torch::tensor(numbers(list), torch::kDouble).view(sizes).clone();
}

/// Loss and gradients, by the names of the parameters.
struct Found {
  double loss = 0.0;
  std::vector<std::pair<std::string, Tensor>> gradients;
};

template <class Loss>
Found found(Loss loss_of, ActorCritic model, const Minibatch& batch, const PpoRule& rule) {
  for (Tensor& parameter : model->parameters()) parameter.mutable_grad() = Tensor();
  const Tensor loss = loss_of(model, batch, rule);
  loss.backward();
  Found result{loss.item<double>(), {}};
  for (const auto& item : model->named_parameters())
    result.gradients.emplace_back(item.key(), item.value().grad().to(torch::kDouble).clone());
  return result;
}

PpoRule rule_of(const nlohmann::json& json) {
  return {json.at("ratio_clip"), json.at("value_clip"), json.at("value_coefficient"),
          json.at("entropy_coefficient")};
}

TEST(PpoLossTest, IsWhatNumpyComputes) {
  const auto recorded = golden("loss");
  const auto& shape = recorded.at("shape");
  ActorCritic model(
      ActorCriticShape{shape.at("observation_size"), shape.at("action_size"), shape.at("width")}, 0);
  model->to(torch::kDouble);
  {
    const torch::NoGradGuard no_grad;
    for (auto& item : model->named_parameters())
      item.value().copy_(tensor_of(recorded.at("parameters").at(item.key()), item.value().sizes()));
  }
  const auto& samples = recorded.at("minibatch");
  const std::int64_t rows = static_cast<std::int64_t>(samples.at("advantages").size());
  const auto of = [&](const char* name, at::IntArrayRef sizes) { return tensor_of(samples.at(name), sizes); };
  const Minibatch batch{of("observations", {rows, 3}), of("actions", {rows, 2}), of("log_densities", {rows}),
                        of("advantages", {rows}),      of("targets", {rows}),    of("values", {rows})};
  for (const auto& result : recorded.at("results")) {
    const PpoRule rule = rule_of(result.at("rule"));
    for (const auto& loss : {ppo_loss, composed::ppo_loss}) {
      const Found ours = found(loss, model, batch, rule);
      EXPECT_NEAR(ours.loss, result.at("loss").get<double>(), 1e-13);
      for (const auto& [name, gradient] : ours.gradients) {
        const Tensor expected = tensor_of(result.at("gradients").at(name), gradient.sizes());
        // Central differences with steps of 1e-5: an error of the step's square, and epsilon divided by it.
        EXPECT_LT((gradient - expected).abs().max().item<double>(), 2e-9) << name;
      }
    }
    PpoRule other = rule;
    other.ratio_clip = 0.3;
    EXPECT_GT(std::abs(found(ppo_loss, model, batch, other).loss - result.at("loss").get<double>()), 1e-3)
        << "the control: another clip";
  }
}

/// As in training: 64 samples of HalfCheetah's size, whose ratios and values lie on both sides of their
/// clips.
Minibatch drawn(torch::ScalarType type) {
  const torch::NoGradGuard no_grad;
  auto generator = torch::make_generator<torch::CPUGeneratorImpl>(9);
  const auto normal = [&](at::IntArrayRef sizes) {
    return torch::empty(sizes, torch::kDouble).normal_(0, 1, generator);
  };
  Minibatch batch;
  batch.observations = normal({64, 17});
  batch.actions = 0.6 * normal({64, 6});
  batch.advantages = 10 * normal({64});
  ActorCritic exact(ActorCriticShape{17, 6, 64}, 3);
  exact->to(torch::kDouble);
  batch.log_densities =
      log_densities(exact->actor().forward(batch.observations), exact->log_std(), batch.actions) +
      0.3 * normal({64});
  const Tensor values = exact->critic().forward(batch.observations).squeeze(-1);
  batch.values = values + 0.3 * normal({64});
  batch.targets = values + normal({64});
  for (Tensor* tensor : {&batch.observations, &batch.actions, &batch.log_densities, &batch.advantages,
                         &batch.targets, &batch.values})
    *tensor = tensor->to(type).contiguous();
  return batch;
}

double largest_difference(const Found& a, const Found& b) {
  double largest = 0.0;
  for (std::size_t i = 0; i < a.gradients.size(); ++i) {
    const Tensor difference = a.gradients[i].second - b.gradients[i].second;
    largest =
        std::max(largest, difference.norm().item<double>() / b.gradients[i].second.norm().item<double>());
  }
  return largest;
}

TEST(PpoLossTest, HasTheGradientsOfPyTorchsOperations) {
  ActorCritic exact(ActorCriticShape{17, 6, 64}, 3), single(ActorCriticShape{17, 6, 64}, 3);
  exact->to(torch::kDouble);
  const PpoRule rule{0.2, 0.2, 0.25, 0.01};
  const Found expected = found(composed::ppo_loss, exact, drawn(torch::kDouble), rule);
  const Found in_double = found(ppo_loss, exact, drawn(torch::kDouble), rule);
  const Found in_float = found(ppo_loss, single, drawn(torch::kFloat), rule);
  EXPECT_NEAR(in_double.loss, expected.loss, 1e-13 * std::abs(expected.loss));
  // Three products of matrices, sums of up to 64 terms each, forward and backward.
  constexpr double kTerms = 6 * 64;
  EXPECT_LT(largest_difference(in_double, expected), kTerms * std::numeric_limits<double>::epsilon());
  EXPECT_LT(largest_difference(in_float, expected), kTerms * std::numeric_limits<float>::epsilon());
  PpoRule other = rule;
  other.value_clip = 0.0;
  EXPECT_GT(largest_difference(found(ppo_loss, exact, drawn(torch::kDouble), other), expected),
            1e3 * kTerms * std::numeric_limits<float>::epsilon())
      << "the control: without the value clip";
  other = rule;
  other.ratio_clip = 0.21;
  EXPECT_GT(largest_difference(found(ppo_loss, exact, drawn(torch::kDouble), other), expected),
            10 * kTerms * std::numeric_limits<float>::epsilon())
      << "the control: a wider clip";
}

TEST(PpoLossTest, GradientsAreScaledAndAddedLikeOthers) {
  ActorCritic model(ActorCriticShape{17, 6, 64}, 3);
  const Minibatch batch = drawn(torch::kFloat);
  const Found once = found(ppo_loss, model, batch, {});
  const auto three_times = [](const ActorCritic& m, const Minibatch& b, const PpoRule& r) {
    return 2.0 * ppo_loss(m, b, r) + ppo_loss(m, b, r);
  };
  const Found sum = found(three_times, model, batch, {});
  for (std::size_t i = 0; i < once.gradients.size(); ++i)
    EXPECT_LT((sum.gradients[i].second - 3.0 * once.gradients[i].second).norm().item<double>(),
              4 * std::numeric_limits<float>::epsilon() * sum.gradients[i].second.norm().item<double>());
}

TEST(PpoLossTest, NaNAndWrongShapesAreSeen) {
  ActorCritic model(ActorCriticShape{17, 6, 64}, 3);
  Minibatch batch = drawn(torch::kFloat);
  batch.advantages[5] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_TRUE(std::isnan(found(ppo_loss, model, batch, {}).loss));
  batch = drawn(torch::kFloat);
  batch.targets[5] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_TRUE(std::isnan(found(ppo_loss, model, batch, {}).loss));
  batch.actions = batch.actions.narrow(1, 0, 3).contiguous();
  EXPECT_THROW(ppo_loss(model, batch, {}), c10::Error);
}

}  // namespace
}  // namespace gradstab::lab::rl
