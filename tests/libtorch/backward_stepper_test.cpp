// Optimizer-in-backward: the same numbers, without the gradients' memory.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/torch.h>

#include "gradstab/libtorch_fused.hpp"
#include "libtorch/subjects.hpp"

namespace gradstab {
namespace {

using testing::error_of;
using ::testing::HasSubstr;
using torch::optim::AdamWOptions;

/// A language model in miniature whose embedding is also its output layer.
struct TiedImpl : torch::nn::Module {
  TiedImpl() {
    embedding = register_module("embedding", torch::nn::Embedding(11, 8));
    hidden = register_module("hidden", torch::nn::Linear(8, 8));
    norm = register_module("norm", torch::nn::LayerNorm(torch::nn::LayerNormOptions({8})));
  }
  torch::Tensor loss(const torch::Tensor& tokens, const torch::Tensor& targets) {
    const torch::Tensor x = norm->forward(torch::tanh(hidden->forward(embedding->forward(tokens))));
    return torch::nn::functional::cross_entropy(torch::matmul(x, embedding->weight.t()), targets);
  }
  torch::nn::Embedding embedding{nullptr};
  torch::nn::Linear hidden{nullptr};
  torch::nn::LayerNorm norm{nullptr};
};
TORCH_MODULE(Tied);

Tied model() {
  torch::manual_seed(7);
  return Tied();
}

std::pair<torch::Tensor, torch::Tensor> batch(int step) {
  torch::manual_seed(100 + static_cast<std::uint64_t>(step));
  return {torch::randint(11, {16}), torch::randint(11, {16})};
}

void expect_equal(Tied& a, Tied& b) {
  const auto ours = a->parameters();
  const auto theirs = b->parameters();
  for (std::size_t i = 0; i < ours.size(); ++i) ASSERT_TRUE(torch::equal(ours[i], theirs[i])) << i;
}

FusedSettings settings(GradientTransform transform) {
  FusedSettings result;
  result.transform = std::move(transform);
  return result;
}

TEST(BackwardStepperTest, LayersThatAreUnfrozenLaterAreTrained) {
  Tied ordinary = model();
  Tied in_backward = model();
  const auto freeze = [&](bool frozen) {
    for (Tied& each : {std::ref(ordinary), std::ref(in_backward)}) {
      for (torch::Tensor& parameter : each->hidden->parameters()) parameter.set_requires_grad(!frozen);
    }
  };
  freeze(true);
  FusedAdamW first(ordinary->named_parameters(), AdamWOptions(0.05));
  FusedAdamW second(in_backward->named_parameters(), AdamWOptions(0.05));
  const BackwardStepper stepper(second);
  EXPECT_FALSE(in_backward->hidden->weight.requires_grad());
  for (int step = 0; step < 6; ++step) {
    if (step == 3) {
      ASSERT_TRUE(torch::equal(in_backward->hidden->weight, model()->hidden->weight));
      freeze(false);
    }
    const auto [tokens, targets] = batch(step);
    first.zero_grad();
    ordinary->loss(tokens, targets).backward();
    first.step();
    in_backward->loss(tokens, targets).backward();
    expect_equal(ordinary, in_backward);
  }
  EXPECT_FALSE(torch::equal(in_backward->hidden->weight, model()->hidden->weight));
}

TEST(BackwardStepperTest, LossesAndWeightsAreThoseOfTheOrdinaryWayBitForBit) {
  Tied ordinary = model();
  Tied in_backward = model();
  FusedAdamW first(ordinary->named_parameters(), AdamWOptions(0.05));
  FusedAdamW second(in_backward->named_parameters(), AdamWOptions(0.05));
  BackwardStepper stepper(second);
  torch::optim::StepLR first_schedule(first, 7, 0.5);
  torch::optim::StepLR second_schedule(second, 7, 0.5);
  for (int step = 0; step < 30; ++step) {
    const auto [tokens, targets] = batch(step);
    first.zero_grad();
    torch::Tensor loss = ordinary->loss(tokens, targets);
    loss.backward();
    first.step();
    torch::Tensor other = in_backward->loss(tokens, targets);
    other.backward();
    first_schedule.step();
    second_schedule.step();
    ASSERT_EQ(loss.item<float>(), other.item<float>()) << step;
    expect_equal(ordinary, in_backward);
    for (const auto& parameter : in_backward->parameters())
      EXPECT_FALSE(parameter.grad().defined()) << "freed as soon as it was used";
    const StepReport& report = stepper.take_report();
    ASSERT_EQ(report.tensors.size(), first.report().tensors.size());
    EXPECT_NEAR(report.raw_global_norm / first.report().raw_global_norm, 1.0, 1e-14);
    for (std::size_t t = 0; t < report.tensors.size(); ++t)
      EXPECT_EQ(report.tensors[t].norm(), first.report().tensors[t].norm());
  }
}

TEST(BackwardStepperTest, GradientAccumulationIsHeldBackUntilTheLastBackward) {
  Tied ordinary = model();
  Tied in_backward = model();
  FusedAdamW first(ordinary->named_parameters(), AdamWOptions(0.05));
  FusedAdamW second(in_backward->named_parameters(), AdamWOptions(0.05));
  BackwardStepper stepper(second);
  for (int step = 0; step < 10; ++step) {
    for (auto& parameter : ordinary->parameters()) parameter.mutable_grad().reset();
    for (int micro = 0; micro < 3; ++micro) {
      const auto [tokens, targets] = batch(3 * step + micro);
      ordinary->loss(tokens, targets).backward();
      stepper.hold(micro < 2);
      in_backward->loss(tokens, targets).backward();
    }
    first.step();
    expect_equal(ordinary, in_backward);
  }
}

TEST(BackwardStepperTest, MeasuringInBackwardChangesNothingButWhoReads) {
  Tied ordinary = model();
  Tied measured = model();
  FusedAdamW first(ordinary->named_parameters(), AdamWOptions(0.05),
                   settings(chain(clip_by_global_norm(0.5), stabilize())));
  FusedAdamW second(measured->named_parameters(), AdamWOptions(0.05),
                    settings(chain(clip_by_global_norm(0.5), stabilize())));
  BackwardStepper stepper(second, BackwardStepper::Mode::measure);
  for (int step = 0; step < 20; ++step) {
    const auto [tokens, targets] = batch(step);
    first.zero_grad();
    second.zero_grad();
    ordinary->loss(tokens, targets).backward();
    measured->loss(tokens, targets).backward();
    first.step();
    second.step();
    expect_equal(ordinary, measured);
  }
}

TEST(BackwardStepperTest, AGradientThatIsWrittenToAfterItWasMeasuredIsMeasuredAgain) {
  Tied ordinary = model();
  Tied measured = model();
  FusedAdamW first(ordinary->named_parameters(), AdamWOptions(0.05), settings(clip_by_global_norm(0.5)));
  FusedAdamW second(measured->named_parameters(), AdamWOptions(0.05), settings(clip_by_global_norm(0.5)));
  BackwardStepper stepper(second, BackwardStepper::Mode::measure);
  const torch::NoGradGuard no_grad;
  for (int step = 0; step < 5; ++step) {
    const auto [tokens, targets] = batch(step);
    for (auto [model, optimizer] : {std::pair<Tied&, FusedAdamW&>(ordinary, first), {measured, second}}) {
      optimizer.zero_grad();
      {
        const torch::AutoGradMode enable_grad(true);
        model->loss(tokens, targets).backward();
      }
      for (auto& parameter : model->parameters()) parameter.mutable_grad().mul_(8.0);  // as unscaling does
      optimizer.step();
    }
    EXPECT_EQ(second.report().raw_global_norm, first.report().raw_global_norm);
    expect_equal(ordinary, measured);
  }
}

TEST(BackwardStepperTest, AfterItsEndBackwardIsOrdinaryAgain) {
  Tied tied = model();
  FusedAdamW optimizer(tied->named_parameters(), AdamWOptions(0.05));
  { BackwardStepper stepper(optimizer); }
  const auto [tokens, targets] = batch(0);
  const torch::Tensor before = tied->hidden->weight.detach().clone();
  tied->loss(tokens, targets).backward();
  EXPECT_TRUE(torch::equal(tied->hidden->weight, before));
  EXPECT_TRUE(tied->hidden->weight.grad().defined());
}

TEST(BackwardStepperTest, TransformsThatNeedAllTensorsAreRefusedWithTheReason) {
  Tied tied = model();
  FusedAdamW clipped(tied->named_parameters(), AdamWOptions(0.05), settings(clip_by_global_norm(1.0)));
  EXPECT_THAT(
      error_of([&] { BackwardStepper stepper(clipped); }),
      HasSubstr("'clip_by_global_norm' needs the norms of all tensors before the first one is updated"));
  FusedAdamW whole(tied->named_parameters(), AdamWOptions(0.05),
                   settings(stabilize({}, Units::whole_model())));
  EXPECT_THAT(error_of([&] { BackwardStepper stepper(whole); }), HasSubstr("use a per-tensor method"));
  FusedSpam spam(tied->named_parameters());
  EXPECT_THAT(error_of([&] { BackwardStepper stepper(spam); }), HasSubstr("'spam' resets all moments"));
}

TEST(BackwardStepperTest, ANaNStaysOutOfTheWeights) {
  Tied tied = model();
  FusedAdamW optimizer(tied->named_parameters(), AdamWOptions(0.05));
  BackwardStepper stepper(optimizer);
  const auto [tokens, targets] = batch(0);
  (tied->loss(tokens, targets) * std::numeric_limits<float>::quiet_NaN()).backward();
  EXPECT_EQ(stepper.take_report().nonfinite, 5u);
  for (const auto& parameter : tied->parameters()) EXPECT_TRUE(torch::isfinite(parameter).all().item<bool>());
}

}  // namespace
}  // namespace gradstab
