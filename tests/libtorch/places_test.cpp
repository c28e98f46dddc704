// Tensors on a device: those of an emulated one, whose code runs on the host over host memory.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/torch.h>

#include <limits>
#include <sstream>

#include "gradstab/libtorch_fused.hpp"
#include "libtorch/subjects.hpp"

namespace gradstab {
namespace {

using testing::distance;
using ::testing::EndsWith;
using testing::error_of;
using ::testing::HasSubstr;
using testing::parameters;
using testing::set_gradients;
using torch::optim::AdamWOptions;
using torch::optim::SGD;
using torch::optim::SGDOptions;

RunOptions on(std::string backend, NonFinitePolicy nonfinite = NonFinitePolicy::skip_tensor) {
  return {.nonfinite = nonfinite, .backend = std::move(backend)};
}

FusedSettings fused_on(const std::string& backend) {
  FusedSettings settings;
  settings.run.run = on(backend);
  return settings;
}

/// Errors of a handful of roundings of each step add up at worst.
double tolerance(int steps) {
  return 16.0 * 0x1p-24 * steps;
}

template <class Value>
std::string archive_of(const Value& value) {
  std::ostringstream stream;
  torch::save(value, stream);
  return std::move(stream).str();
}

template <class Value>
void restore(Value& value, const std::string& archive) {
  std::istringstream stream(archive);
  torch::load(value, stream);
}

TEST(PlacesTest, StabilizedGradientsAreThoseOfTheHost) {
  auto host = parameters(1);
  auto device = parameters(1);
  Stabilized<SGD> on_host(stabilize(), on(""), host, SGDOptions(0.01));
  Stabilized<SGD> on_device(stabilize(), on("emulated"), device, SGDOptions(0.01));
  for (int step = 0; step < 60; ++step) {
    set_gradients(host, static_cast<std::uint64_t>(step));
    set_gradients(device, static_cast<std::uint64_t>(step));
    on_host.step();
    on_device.step();
    ASSERT_LE(distance(host, device), tolerance(step + 1)) << "step " << step;
    ASSERT_NEAR(on_device.report().raw_global_norm / on_host.report().raw_global_norm, 1.0, 0x1p-46);
    ASSERT_EQ(on_device.report().spikes, on_host.report().spikes) << "step " << step;
  }
  EXPECT_EQ(on_device.backend_name(), "emulated");
  EXPECT_GT(distance(host, parameters(1)), 0.01) << "the parameters have moved";
}

template <class FusedKind, class Options>
void expect_the_hosts_trajectory(const Options& options, const std::string& backend = "emulated") {
  auto host = parameters(2);
  auto device = parameters(2);
  FusedKind on_host(host, options, fused_on(""));
  FusedKind on_device(device, options, fused_on(backend));
  torch::optim::StepLR host_schedule(on_host, 10, 0.5);
  torch::optim::StepLR device_schedule(on_device, 10, 0.5);
  for (int step = 0; step < 40; ++step) {
    set_gradients(host, static_cast<std::uint64_t>(step));
    set_gradients(device, static_cast<std::uint64_t>(step));
    on_host.step();
    on_device.step();
    host_schedule.step();
    device_schedule.step();
    ASSERT_LE(distance(host, device), tolerance(step + 1)) << on_device.backend_name() << ", step " << step;
  }
  EXPECT_EQ(on_device.backend_name(), backend);
  set_gradients(device, 40);
  on_device.step();
  EXPECT_GT(distance(host, device), 1e-6) << "one more step is a difference that shows";
}

TEST(PlacesTest, FusedOptimizersFollowTheHost) {
  expect_the_hosts_trajectory<FusedAdamW>(AdamWOptions(0.01));
  expect_the_hosts_trajectory<FusedAdam>(torch::optim::AdamOptions(0.01).amsgrad(true).weight_decay(0.1));
  expect_the_hosts_trajectory<FusedSGD>(SGDOptions(0.01).momentum(0.9).nesterov(true));
  expect_the_hosts_trajectory<FusedSpam>(SpamTorchOptions(SpamOptions{.lr = 0.01, .reset_interval = 7}));
}

TEST(PlacesTest, ParametersAddedLaterStartAfreshAndTheOthersGoOn) {
  auto host = parameters(3);
  auto device = parameters(3);
  const auto make = [](std::vector<torch::Tensor>& list, const char* backend) {
    return std::make_unique<FusedAdamW>(std::vector<torch::Tensor>(list.begin(), list.begin() + 4),
                                        AdamWOptions(0.01), fused_on(backend));
  };
  const auto on_host = make(host, "");
  const auto on_device = make(device, "emulated");
  for (int step = 0; step < 20; ++step) {
    if (step == 9) {
      for (auto [optimizer, list] : {std::pair(on_host.get(), &host), std::pair(on_device.get(), &device)}) {
        optimizer->add_param_group(torch::optim::OptimizerParamGroup({list->begin() + 4, list->end()},
                                                                     std::make_unique<AdamWOptions>(0.002)));
      }
    }
    set_gradients(host, static_cast<std::uint64_t>(step));
    set_gradients(device, static_cast<std::uint64_t>(step));
    on_host->step();
    on_device->step();
    ASSERT_LE(distance(host, device), tolerance(step + 1)) << "step " << step;
  }
  EXPECT_EQ(on_device->backend_name(), "emulated");
}

TEST(PlacesTest, ACheckpointOfADeviceIsOneOfTheHost) {
  auto host = parameters(4);
  auto device = parameters(4);
  FusedAdamW on_device(device, AdamWOptions(0.01), fused_on("emulated"));
  for (std::uint64_t step = 0; step < 9; ++step) {
    set_gradients(device, step);
    on_device.step();
  }
  const std::string archive = archive_of(on_device);
  FusedAdamW on_host(host, AdamWOptions(0.01), fused_on(""));
  restore(on_host, archive);
  EXPECT_EQ(archive_of(on_host), archive);
  FusedAdamW resumed(host, AdamWOptions(0.01), fused_on("emulated"));
  restore(resumed, archive);
  {
    const torch::NoGradGuard no_grad;
    for (std::size_t i = 0; i < host.size(); ++i) host[i].copy_(device[i]);
  }
  for (std::uint64_t step = 9; step < 15; ++step) {
    set_gradients(host, step);
    set_gradients(device, step);
    resumed.step();
    on_device.step();
  }
  EXPECT_EQ(distance(host, device), 0.0) << "a resumed run is the run";
}

TEST(PlacesTest, WhatADeviceHasNotIsDoneOnCopies) {
  auto host = parameters(5);
  auto device = parameters(5);
  const auto make = [](std::vector<torch::Tensor>& list, const char* backend) {
    return Stabilized<SGD>(chain(adaptive_clip(), zclip()), on(backend), list, SGDOptions(0.01));
  };
  auto on_host = make(host, "");
  auto on_device = make(device, "emulated");
  for (std::uint64_t step = 0; step < 40; ++step) {
    set_gradients(host, step);
    set_gradients(device, step);
    on_host.step();
    on_device.step();
    ASSERT_EQ(distance(host, device), 0.0) << "step " << step;
  }
  EXPECT_THAT(on_device.backend_name(), EndsWith(" (copies)"));
  EXPECT_THAT(on_host.backend_name(), ::testing::Not(EndsWith(" (copies)")));
}

TEST(PlacesTest, TheHostDecidesOnTheNormsOfTheDevice) {
  auto host = parameters(6);
  auto device = parameters(6);
  const auto make = [](std::vector<torch::Tensor>& list, const char* backend) {
    FusedSettings settings = fused_on(backend);
    settings.transform = chain(clip_by_global_norm(20.0), zclip({.warmup_steps = 4}));
    return FusedAdamW(list, AdamWOptions(0.01), std::move(settings));
  };
  auto on_host = make(host, "");
  auto on_device = make(device, "emulated");
  Stabilized<SGD> clips_host(clip_by_global_norm(20.0), on(""), host, SGDOptions(0.01));
  Stabilized<SGD> clips_device(clip_by_global_norm(20.0), on("emulated"), device, SGDOptions(0.01));
  for (int step = 0; step < 20; ++step) {
    for (auto* list : {&host, &device}) set_gradients(*list, static_cast<std::uint64_t>(step));
    on_host.step();
    on_device.step();
    clips_host.step();
    clips_device.step();
    ASSERT_LE(distance(host, device), tolerance(2 * (step + 1))) << "step " << step;
    EXPECT_NEAR(on_device.report().global_norm / on_host.report().global_norm, 1.0, 1e-12);
    EXPECT_NEAR(clips_device.report().global_norm / clips_host.report().global_norm, 1.0, 1e-12);
  }
  EXPECT_EQ(on_device.backend_name(), "emulated");
  EXPECT_EQ(clips_device.backend_name(), "emulated");
}

TEST(PlacesTest, AFusedOptimizerBehindWhatADeviceHasNotIsSteppedOnCopies) {
  auto host = parameters(6);
  auto device = parameters(6);
  const auto make = [](std::vector<torch::Tensor>& list, const char* backend) {
    FusedSettings settings = fused_on(backend);
    settings.transform = clip_by_value(0.5);
    return FusedAdamW(list, AdamWOptions(0.01), std::move(settings));
  };
  auto on_host = make(host, "");
  auto on_device = make(device, "emulated");
  for (std::uint64_t step = 0; step < 20; ++step) {
    set_gradients(host, step);
    set_gradients(device, step);
    on_host.step();
    on_device.step();
    ASSERT_EQ(distance(host, device), 0.0) << "step " << step;
  }
  EXPECT_THAT(on_device.backend_name(), EndsWith(" (copies)"));
}

TEST(PlacesTest, StateFollowsTheGradients) {
  auto host = parameters(7);
  auto device = parameters(7);
  Stabilized<SGD> on_host(stabilize(), on(""), host, SGDOptions(0.01));
  Stabilized<SGD> on_device(stabilize(), on("emulated"), device, SGDOptions(0.01));
  for (int step = 0; step < 30; ++step) {
    const bool wide = step % 6 == 5;
    for (auto* list : {&host, &device}) {
      set_gradients(*list, static_cast<std::uint64_t>(step));
      // Sparse gradients and those of float64 are for the host alone.
      if (!wide) continue;
      list->at(5).mutable_grad() = torch::eye(130, 17).to_sparse() * static_cast<double>(step);
    }
    on_host.step();
    on_device.step();
    ASSERT_LE(distance(host, device), tolerance(step + 1)) << "step " << step;
    if (wide) {
      EXPECT_THAT(on_device.backend_name(), EndsWith(" (copies)"));
    } else {
      EXPECT_EQ(on_device.backend_name(), "emulated");
    }
  }
}

TEST(PlacesTest, Float64IsTheHosts) {
  auto host = parameters(8, torch::kFloat64);
  auto device = parameters(8, torch::kFloat64);
  FusedAdamW on_host(host, AdamWOptions(0.01), fused_on(""));
  FusedAdamW on_device(device, AdamWOptions(0.01), fused_on("emulated"));
  for (std::uint64_t step = 0; step < 10; ++step) {
    set_gradients(host, step);
    set_gradients(device, step);
    on_host.step();
    on_device.step();
  }
  EXPECT_EQ(distance(host, device), 0.0);
  EXPECT_THAT(on_device.backend_name(), EndsWith(" (copies)"));
}

TEST(PlacesTest, PoliciesThatTheHostHasToKnowOf) {
  for (const char* backend : {"", "emulated"}) {
    torch::Tensor p = torch::ones({3}).requires_grad_();
    Stabilized<SGD> skips(stabilize(), on(backend, NonFinitePolicy::skip_step), std::vector{p},
                          SGDOptions(1.0));
    p.mutable_grad() = torch::tensor({1.0f, std::numeric_limits<float>::quiet_NaN(), 0.0f});
    skips.step();
    EXPECT_TRUE(torch::equal(p, torch::ones({3}))) << backend;
    EXPECT_TRUE(skips.report().skip_step) << backend;
    EXPECT_TRUE(p.grad()[1].isnan().item<bool>()) << "left as it was";

    Stabilized<SGD> raises(stabilize(), on(backend, NonFinitePolicy::raise), std::vector{p}, SGDOptions(1.0));
    EXPECT_THAT(error_of([&] { raises.step(); }), HasSubstr("NaN or Inf: 'group0.parameter0'")) << backend;
    ASSERT_EQ(raises.report().tensors.size(), 1u) << backend;
    EXPECT_FALSE(raises.report().tensors[0].finite) << backend;
    p.mutable_grad() = torch::tensor({3.0f, 0.0f, 4.0f});
    raises.step();
    EXPECT_NEAR(p.grad().norm().item<double>(), 1.0, 1e-6) << "the NaN has left no trace";

    Stabilized<SGD> clips(clip_by_global_norm(1.0), on(backend, NonFinitePolicy::raise), std::vector{p},
                          SGDOptions(1.0));
    p.mutable_grad() = torch::tensor({1.0f, 0.0f, std::numeric_limits<float>::infinity()});
    EXPECT_THAT(error_of([&] { clips.step(); }), HasSubstr("NaN or Inf: 'group0.parameter0'")) << backend;
    ASSERT_EQ(clips.report().tensors.size(), 1u) << backend;
    EXPECT_FALSE(clips.report().tensors[0].finite) << backend;
  }
}

TEST(PlacesTest, GradientsWithGapsAreTransformedInPlace) {
  torch::Tensor p = torch::zeros({4, 3}).requires_grad_();
  const torch::Tensor memory = torch::arange(24, torch::kFloat32).view({4, 6});
  p.mutable_grad() = memory.slice(1, 0, 6, 2);
  const torch::Tensor expected = p.grad() / p.grad().to(torch::kFloat64).norm();
  Stabilized<SGD> optimizer(stabilize(), on("emulated"), std::vector{p}, SGDOptions(1.0));
  optimizer.step();
  EXPECT_LE((p.grad() - expected).abs().max().item<double>(), 0x1p-23);
  EXPECT_EQ(memory[1][1].item<float>(), 7.0f) << "what lies between is nobody's";
  EXPECT_EQ(optimizer.backend_name(), "emulated");
}

TEST(PlacesTest, BackendCudaDoesNotCopy) {
  torch::Tensor p = torch::zeros({3}).requires_grad_();
  p.mutable_grad() = torch::ones({3});
  Stabilized<SGD> optimizer(stabilize(), on("cuda"), std::vector{p}, SGDOptions(1.0));
  EXPECT_THAT(error_of([&] { optimizer.step(); }), HasSubstr("host memory, but backend is 'cuda'"));
  FusedSGD fused(std::vector{p}, SGDOptions(1.0), fused_on("cuda"));
  EXPECT_THAT(error_of([&] { fused.step(); }), HasSubstr("host memory, but backend is 'cuda'"));
  EXPECT_THAT(error_of([&] { Stabilized<SGD>(stabilize(), on("cudda"), std::vector{p}, SGDOptions(1.0)); }),
              HasSubstr("cudda"));
}

/// Gradients of a loss whose backward ends with every parameter.
void run_backward(std::vector<torch::Tensor>& list, int step) {
  torch::Tensor loss = torch::zeros({});
  for (torch::Tensor& p : list) loss = loss + (p * (1.0 + step % 3)).square().sum();
  loss.backward();
}

TEST(PlacesTest, SteppingInBackwardIsSteppingAfterwards) {
  auto inside = parameters(9);
  auto after = parameters(9);
  auto host = parameters(9);
  FusedAdamW stepped(inside, AdamWOptions(0.01), fused_on("emulated"));
  FusedAdamW plain(after, AdamWOptions(0.01), fused_on("emulated"));
  FusedAdamW on_host(host, AdamWOptions(0.01), fused_on(""));
  BackwardStepper stepper(stepped);
  BackwardStepper host_stepper(on_host);
  for (int step = 0; step < 12; ++step) {
    for (torch::Tensor& p : after) p.mutable_grad().reset();
    run_backward(inside, step);
    run_backward(after, step);
    run_backward(host, step);
    plain.step();
    ASSERT_EQ(distance(inside, after), 0.0) << "step " << step;
    EXPECT_FALSE(inside[0].grad().defined()) << "the gradient is freed";
    const StepReport report = stepper.take_report();
    const StepReport expected = host_stepper.take_report();
    ASSERT_EQ(report.tensors.size(), expected.tensors.size());
    EXPECT_NEAR(report.raw_global_norm / plain.report().raw_global_norm, 1.0, 1e-12);
    EXPECT_NEAR(report.raw_global_norm / expected.raw_global_norm, 1.0, 1e-5);
  }
  EXPECT_EQ(stepped.backend_name(), "emulated");
  EXPECT_LE(distance(inside, host), tolerance(12));
  FusedSettings settings = fused_on("emulated");
  settings.transform = clip_by_global_norm(1.0);
  FusedAdamW clipped(inside, AdamWOptions(0.01), std::move(settings));
  EXPECT_THAT(error_of([&] { BackwardStepper refused(clipped); }), HasSubstr("clip_by_global_norm"));
}

TEST(PlacesTest, MeasuringInBackwardChangesNothingOnADevice) {
  auto list = parameters(9);
  auto others = parameters(9);
  FusedAdamW optimizer(list, AdamWOptions(0.01), fused_on("emulated"));
  FusedAdamW plain(others, AdamWOptions(0.01), fused_on("emulated"));
  BackwardStepper measuring(optimizer, BackwardStepper::Mode::measure);
  for (int step = 0; step < 3; ++step) {
    for (auto* each : {&list, &others}) {
      for (torch::Tensor& p : *each) p.mutable_grad().reset();
      run_backward(*each, step);
    }
    optimizer.step();
    plain.step();
  }
  EXPECT_EQ(distance(list, others), 0.0);
}

}  // namespace
}  // namespace gradstab
