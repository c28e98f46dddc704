// Fused optimizers against LibTorch's own: trajectories, groups, schedules, checkpoints.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/torch.h>

#include <cmath>
#include <sstream>

#include "gradstab/libtorch_fused.hpp"
#include "libtorch/subjects.hpp"

namespace gradstab {
namespace {

using testing::distance;
using testing::error_of;
using ::testing::HasSubstr;
using testing::parameters;
using testing::set_gradients;
using torch::optim::AdamOptions;
using torch::optim::AdamWOptions;
using torch::optim::OptimizerParamGroup;
using torch::optim::SGDOptions;

template <class Plain, class FusedKind, class Options>
void expect_same_trajectory(const Options& first, const Options& second, bool stabilized) {
  for (const auto dtype : {torch::kFloat32, torch::kFloat64}) {
    auto ours = parameters(1, dtype);
    auto theirs = parameters(1, dtype);
    const auto groups = [&](const std::vector<torch::Tensor>& list) {
      std::vector<OptimizerParamGroup> result;
      result.emplace_back(std::vector<torch::Tensor>(list.begin(), list.begin() + 3));
      result.emplace_back(std::vector<torch::Tensor>(list.begin() + 3, list.end()),
                          std::make_unique<Options>(second));
      return result;
    };
    FusedSettings settings;
    if (!stabilized) settings.transform.reset();
    FusedKind fused(groups(ours), first, std::move(settings));
    std::unique_ptr<torch::optim::Optimizer> plain;
    if (stabilized) {
      plain = std::make_unique<Stabilized<Plain>>(groups(theirs), first);
    } else {
      plain = std::make_unique<Plain>(groups(theirs), first);
    }
    torch::optim::StepLR fused_schedule(fused, 40, 0.5);
    torch::optim::StepLR plain_schedule(*plain, 40, 0.5);
    for (int step = 0; step < 200; ++step) {
      set_gradients(ours, static_cast<std::uint64_t>(step));
      set_gradients(theirs, static_cast<std::uint64_t>(step));
      fused.step();
      plain->step();
      fused_schedule.step();
      plain_schedule.step();
      // Each step rounds a handful of operations; their errors add up at worst, and mostly as random walks.
      const double roundoff = dtype == torch::kFloat32 ? 0x1p-24 : 0x1p-53;
      ASSERT_LE(distance(ours, theirs), 16.0 * roundoff * (step + 1)) << "step " << step << " " << dtype;
    }
    EXPECT_NE(distance(ours, parameters(1, dtype)), 0.0) << "something was learned";
    set_gradients(ours, 500);
    fused.step();
    EXPECT_GT(distance(ours, theirs), 1e-5) << "one more step is a difference that shows";
  }
}

TEST(FusedTest, SgdFollowsLibTorch) {
  expect_same_trajectory<torch::optim::SGD, FusedSGD>(SGDOptions(0.01), SGDOptions(0.02).weight_decay(0.1),
                                                      false);
  expect_same_trajectory<torch::optim::SGD, FusedSGD>(
      SGDOptions(0.01).momentum(0.9), SGDOptions(0.02).momentum(0.8).dampening(0.3).weight_decay(0.1), false);
  expect_same_trajectory<torch::optim::SGD, FusedSGD>(SGDOptions(0.01).momentum(0.9).nesterov(true),
                                                      SGDOptions(0.02).momentum(0.5).nesterov(true), false);
}

TEST(FusedTest, AdamFollowsLibTorch) {
  expect_same_trajectory<torch::optim::Adam, FusedAdam>(AdamOptions(0.01),
                                                        AdamOptions(0.002).weight_decay(0.1), false);
  expect_same_trajectory<torch::optim::Adam, FusedAdam>(
      AdamOptions(0.01).amsgrad(true), AdamOptions(0.002).amsgrad(true).betas({0.8, 0.99}), false);
}

TEST(FusedTest, AdamWFollowsLibTorch) {
  expect_same_trajectory<torch::optim::AdamW, FusedAdamW>(
      AdamWOptions(0.01), AdamWOptions(0.002).weight_decay(0.1).betas({0.8, 0.99}).eps(1e-6), false);
  expect_same_trajectory<torch::optim::AdamW, FusedAdamW>(AdamWOptions(0.01).amsgrad(true),
                                                          AdamWOptions(0.002).amsgrad(true), false);
}

TEST(FusedTest, StabilizedFollowsStabilizedLibTorch) {
  expect_same_trajectory<torch::optim::AdamW, FusedAdamW>(AdamWOptions(0.01), AdamWOptions(0.002), true);
  expect_same_trajectory<torch::optim::SGD, FusedSGD>(SGDOptions(0.01).momentum(0.9),
                                                      SGDOptions(0.02).momentum(0.5), true);
}

/// Gradients of 1e-41 are subnormal, with 13 digits of 2; their factors are beyond float32.
TEST(FusedTest, TinyGradientsFollowStabilizedLibTorch) {
  auto ours = parameters(5);
  auto theirs = parameters(5);
  FusedAdamW fused(ours, AdamWOptions(0.01));
  Stabilized<torch::optim::AdamW> plain(theirs, AdamWOptions(0.01));
  for (int step = 0; step < 50; ++step) {
    for (auto* list : {&ours, &theirs}) set_gradients(*list, static_cast<std::uint64_t>(step), 1e-41);
    fused.step();
    plain.step();
    ASSERT_LE(distance(ours, theirs), 16.0 * 0x1p-24 * (step + 1)) << "step " << step;
  }
  EXPECT_EQ(fused.report().nonfinite, 0);
  EXPECT_GT(distance(ours, parameters(5)), 1e-3) << "something was learned";
}

TEST(FusedTest, ReportsAndLeavesGradientsAlone) {
  auto list = parameters(2);
  FusedAdamW optimizer(list, AdamWOptions(0.01));
  set_gradients(list, 0);
  std::vector<torch::Tensor> before;
  for (const auto& p : list) before.push_back(p.grad().defined() ? p.grad().clone() : torch::Tensor());
  optimizer.step();
  ASSERT_EQ(optimizer.report().tensors.size(), list.size());
  for (std::size_t i = 0; i < list.size(); ++i) {
    if (!before[i].defined()) {
      EXPECT_FALSE(optimizer.report().tensors[i].present);
      continue;
    }
    EXPECT_TRUE(torch::equal(list[i].grad(), before[i]));
    EXPECT_NEAR(optimizer.report().tensors[i].raw_norm, before[i].norm().item<double>(), 1e-5);
    EXPECT_NEAR(optimizer.report().tensors[i].norm(), 1.0, 1e-12) << "the first step's stabilized norm";
  }
}

template <class Optimizer>
std::string saved(const Optimizer& optimizer) {
  std::ostringstream stream;
  torch::save(optimizer, stream);
  return std::move(stream).str();
}

void load(torch::optim::Optimizer& optimizer, const std::string& bytes) {
  std::istringstream stream(bytes);
  torch::load(optimizer, stream);
}

template <class FusedKind, class Options>
void expect_resumes(const Options& options) {
  auto whole = parameters(3);
  FusedKind uninterrupted(whole, options);
  for (int step = 0; step < 20; ++step) {
    set_gradients(whole, static_cast<std::uint64_t>(step));
    uninterrupted.step();
  }
  const std::string checkpoint = saved(uninterrupted);
  std::vector<torch::Tensor> resumed;
  for (const auto& p : whole) resumed.push_back(p.detach().clone().requires_grad_());
  Options other = options;
  other.set_lr(0.7);  // comes from the checkpoint
  FusedKind fresh(resumed, other);
  load(fresh, checkpoint);
  for (int step = 20; step < 40; ++step) {
    set_gradients(whole, static_cast<std::uint64_t>(step));
    set_gradients(resumed, static_cast<std::uint64_t>(step));
    uninterrupted.step();
    fresh.step();
    for (std::size_t i = 0; i < whole.size(); ++i) ASSERT_TRUE(torch::equal(whole[i], resumed[i])) << step;
  }
}

TEST(FusedTest, ResumesBitForBitFromItsCheckpoint) {
  expect_resumes<FusedSGD>(SGDOptions(0.01).momentum(0.9));
  expect_resumes<FusedAdam>(AdamOptions(0.01).amsgrad(true));
  expect_resumes<FusedAdamW>(AdamWOptions(0.01));
  expect_resumes<FusedLion>(LionTorchOptions(LionOptions{.lr = 0.001, .weight_decay = 0.1}));
  expect_resumes<FusedAdamMini>(AdamMiniTorchOptions(AdamMiniOptions{.lr = 0.01, .weight_decay = 0.1}));
  expect_resumes<FusedSpam>(
      SpamTorchOptions(SpamOptions{.lr = 0.01, .reset_interval = 15, .warmup_steps = 5}));
  gradstab::AdamOptions resetting = gradstab::AdamOptions::stable_spam();
  resetting.lr = 0.01;
  resetting.reset_interval = 15;
  for (const Compat compat : {Compat::robust, Compat::released}) {
    resetting.compat = compat;
    expect_resumes<FusedAdamWithResets>(AdamWithResetsTorchOptions(resetting));
  }
}

TEST(FusedTest, ResetsAreThoseOfTheLibrarysAdam) {
  // Without resets it is AdamW; with them it differs from the first one on.
  const auto after = [](std::int64_t interval, int steps) {
    auto list = parameters(6);
    gradstab::AdamOptions options = gradstab::AdamOptions::stable_spam();
    options.lr = 0.01;
    options.reset_interval = interval;
    FusedAdamWithResets optimizer(list, AdamWithResetsTorchOptions(options));
    for (int step = 0; step < steps; ++step) {
      set_gradients(list, static_cast<std::uint64_t>(step));
      optimizer.step();
    }
    return list;
  };
  auto plain = parameters(6);
  FusedAdamW optimizer(plain, AdamWOptions(0.01).weight_decay(0.0));
  for (int step = 0; step < 12; ++step) {
    set_gradients(plain, static_cast<std::uint64_t>(step));
    optimizer.step();
  }
  EXPECT_EQ(distance(after(0, 12), plain), 0.0);
  EXPECT_EQ(distance(after(13, 12), plain), 0.0);
  EXPECT_GT(distance(after(10, 12), plain), 1e-4) << "each tensor has missed one or two of the steps";
}

template <class Plain, class FusedKind, class Options>
void expect_takes_over(const Options& options) {
  auto theirs = parameters(4);
  Plain plain(theirs, options);
  for (int step = 0; step < 20; ++step) {
    set_gradients(theirs, static_cast<std::uint64_t>(step));
    plain.step();
  }
  std::vector<torch::Tensor> ours;
  for (const auto& p : theirs) ours.push_back(p.detach().clone().requires_grad_());
  FusedSettings settings;
  settings.transform.reset();
  FusedKind fused(ours, options, std::move(settings));
  load(fused, saved(plain));
  for (int step = 20; step < 40; ++step) {
    set_gradients(theirs, static_cast<std::uint64_t>(step));
    set_gradients(ours, static_cast<std::uint64_t>(step));
    plain.step();
    fused.step();
    ASSERT_LE(distance(ours, theirs), 16.0 * 0x1p-24 * (step - 19)) << step;
  }
}

TEST(FusedTest, TakesOverACheckpointOfLibTorchsOwnOptimizer) {
  expect_takes_over<torch::optim::AdamW, FusedAdamW>(AdamWOptions(0.01));
  expect_takes_over<torch::optim::AdamW, FusedAdamW>(AdamWOptions(0.01).amsgrad(true));
  expect_takes_over<torch::optim::Adam, FusedAdam>(AdamOptions(0.01).weight_decay(0.1));
  expect_takes_over<torch::optim::SGD, FusedSGD>(SGDOptions(0.01).momentum(0.9).dampening(0.2));
}

TEST(FusedTest, AParameterGroupMayJoinLater) {
  auto list = parameters(5);
  auto all = parameters(5);
  FusedAdamW optimizer(std::vector<torch::Tensor>{list[3], list[4]}, AdamWOptions(0.01));
  FusedAdamW separate(std::vector<torch::Tensor>{all[3], all[4]}, AdamWOptions(0.01));
  std::optional<FusedAdamW> late;
  for (int step = 0; step < 10; ++step) {
    set_gradients(list, static_cast<std::uint64_t>(step));
    set_gradients(all, static_cast<std::uint64_t>(step));
    if (step == 5) {
      OptimizerParamGroup group(std::vector<torch::Tensor>{list[5]}, std::make_unique<AdamWOptions>(0.1));
      optimizer.add_param_group(group);
      late.emplace(std::vector<torch::Tensor>{all[5]}, AdamWOptions(0.1));
    }
    optimizer.step();
    separate.step();
    if (late) late->step();
    for (const std::size_t i : {3u, 4u, 5u}) ASSERT_TRUE(torch::equal(list[i], all[i])) << i << " " << step;
  }
}

TEST(FusedTest, ClosuresGradientsAreTheOnesUsed) {
  torch::Tensor p = torch::ones({3}).requires_grad_();
  FusedSGD optimizer(std::vector<torch::Tensor>{p}, SGDOptions(1.0));
  p.mutable_grad() = torch::full({3}, 100.0f);
  const torch::Tensor loss = optimizer.step([&] {
    optimizer.zero_grad();
    torch::Tensor value = p.sum();
    value.backward();
    return value;
  });
  EXPECT_EQ(loss.item<double>(), 3.0);
  EXPECT_NEAR(optimizer.report().tensors[0].raw_norm, std::sqrt(3.0), 1e-12);
}

TEST(FusedTest, MistakesAreNamed) {
  auto list = parameters(6);
  EXPECT_THAT(error_of([&] {
                FusedAdamW(list, AdamWOptions(0.01).betas({1.0, 0.9}));
              }),
              HasSubstr("beta1 must be in [0, 1), got 1"));
  EXPECT_THAT(error_of([&] {
                FusedSGD(std::vector{list[2], list[2]}, SGDOptions(0.1));
              }),
              HasSubstr("is in the optimizer twice"));
  torch::Tensor half = torch::ones({3}, torch::kHalf).requires_grad_();
  FusedSGD of_half(std::vector{half}, SGDOptions(0.1));
  half.mutable_grad() = torch::ones({3}, torch::kHalf);
  EXPECT_THAT(
      error_of([&] { of_half.step(); }),
      HasSubstr("parameter 'group0.parameter0' has dtype float16, expected float32, float64 or bfloat16"));
  FusedLion lion(list, LionTorchOptions(1e-3));
  torch::optim::SGD other(list, SGDOptions(0.1));
  EXPECT_THAT(error_of([&] { load(lion, saved(other)); }), HasSubstr("no state of gradstab's Lion"));
  FusedAdamW adamw(list, AdamWOptions(0.1));
  FusedAdam adam(list, AdamOptions(0.1));
  EXPECT_THAT(error_of([&] { load(adamw, saved(adam)); }),
              HasSubstr("saved state is of 'adam', expected 'adamw'"));
}

TEST(FusedTest, ChangedParametersAreNoticedByAutograd) {
  torch::Tensor p = torch::ones({3}).requires_grad_();
  FusedSGD optimizer(std::vector<torch::Tensor>{p}, SGDOptions(1.0));
  const torch::Tensor loss = (p * p).sum();
  p.mutable_grad() = torch::ones({3});
  optimizer.step();
  EXPECT_ANY_THROW(loss.backward()) << "the graph saved p as it was";
}

}  // namespace
}  // namespace gradstab
