// cuda::Optimizer against the CPU's, with the device's code run on the host.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "cuda/emulated.hpp"
#include "cuda/optimizer_pair.hpp"
#include "gradstab/transforms.hpp"
#include "optimizer/training.hpp"
#include "support/gradients.hpp"

namespace gradstab {
namespace {

using testing::emulated;
using testing::Gradients;
using ::testing::HasSubstr;
using testing::on_device;
using testing::Training;
using testing::Values;
using Case = testing::Kind;
using Pair = testing::DevicePair;

std::vector<Case> cases() {
  return testing::kinds_with_early_resets();
}

/// With gradients whose squares add up exactly in any order, nothing at all may differ from the CPU's SIMD
/// kernels: rules, master copies and random numbers are the same.
TEST(CudaOptimizer, DoesWhatTheCpuDoesBitForBit) {
  for (const Case& chosen : cases()) {
    for (const testing::DeviceTypes& type : testing::kDeviceTypes) {
      // Adam-mini's norms of units enter squared sums of several segments, whose order is the device's own.
      if (chosen.name == "adam_mini") continue;
      Pair pair(chosen, type.parameter, type.gradient, type.low_precision);
      std::mt19937_64 random(17);
      for (int step = 0; step < 9; ++step) {
        pair.step(testing::exact_gradients(random, pair.host.parameters));
        pair.expect_same_bits(chosen.name + " " + std::string(to_string(type.parameter)) + " step " +
                              std::to_string(step));
      }
      EXPECT_EQ(pair.device.save().value(), pair.host.optimizer.save().value()) << chosen.name;
    }
  }
}

/// The scale factor and the norm of a unit may differ in the last digits of a double, and what is computed
/// from them in the last of a float, once per step.
TEST(CudaOptimizer, AdamMiniDoesWhatTheCpuDoes) {
  for (const Case& chosen : cases()) {
    if (chosen.name != "adam_mini") continue;
    for (const bool stabilizes : {true, false}) {
      Pair pair(chosen, DType::float32, DType::float32, LowPrecision::master_copy, stabilizes);
      std::mt19937_64 random(5);
      const int steps = 12;
      for (int step = 0; step < steps; ++step)
        pair.step(testing::random_gradients(random, pair.host.parameters));
      EXPECT_EQ(testing::difference(pair.weights.values(), pair.host.weights.values(), steps * 0x1p-22), "");
      // The control: another step is another result.
      pair.device.step(on_device(pair.weights.refs()), on_device(pair.gradients.refs())).check();
      EXPECT_NE(testing::difference(pair.weights.values(), pair.host.weights.values(), steps * 0x1p-22), "");
    }
  }
}

TEST(CudaOptimizer, RefusesAdamMiniInParts) {
  for (const Case& chosen : cases()) {
    Pair pair(chosen, DType::float32, DType::float32, LowPrecision::master_copy);
    std::mt19937_64 random(5);
    pair.step(testing::random_gradients(random, pair.host.parameters));
    const Status status =
        pair.device.measure(on_device(pair.weights.refs()), on_device(pair.gradients.refs()));
    EXPECT_EQ(status.ok(), chosen.name != "adam_mini") << chosen.name << ": " << status.message();
    EXPECT_EQ(status.message().starts_with("Adam-mini has a second moment per unit"), !status.ok());
  }
}

TEST(CudaOptimizer, TakesNonFiniteAndAbsentGradientsAsTheCpuDoes) {
  for (const NonFinitePolicy policy :
       {NonFinitePolicy::skip_tensor, NonFinitePolicy::skip_step, NonFinitePolicy::pass_through}) {
    for (const bool stabilizes : {true, false}) {
      Pair pair({"adamw", AdamOptions::adamw()}, DType::float32, DType::float32, LowPrecision::master_copy,
                stabilizes, policy);
      std::mt19937_64 random(9);
      for (int step = 0; step < 5; ++step) {
        auto values = testing::exact_gradients(random, pair.host.parameters);
        if (step == 2) values[1][0] = std::numeric_limits<double>::quiet_NaN();
        pair.step(values);
        if (policy != NonFinitePolicy::pass_through) pair.expect_same_bits("step " + std::to_string(step));
      }
      if (policy == NonFinitePolicy::pass_through) {
        EXPECT_TRUE(std::isnan(pair.weights.values(1)[0]));
        EXPECT_EQ(pair.weights.bytes(0), pair.host.weights.bytes(0));
      } else {
        EXPECT_EQ(pair.device.save().value(), pair.host.optimizer.save().value());
      }
    }
  }
}

TEST(CudaOptimizer, UnalignedTensorsGiveTheSameBits) {
  const auto set = testing::parameter_set_of_sizes({{1001}});
  std::vector<Values> results;
  for (const std::size_t offset : {0u, 1u, 3u}) {
    std::vector<float> weight(1001 + offset, 0.5f);
    std::vector<float> gradient(1001 + offset);
    for (std::size_t i = 0; i < 1001; ++i) gradient[offset + i] = static_cast<float>(i % 7) - 3.0f;
    cuda::Optimizer optimizer(AdamOptions::adamw(), stabilize());
    optimizer.init(set, emulated()).check();
    TensorRef parameter;
    parameter.data = weight.data() + offset;
    parameter.sizes = set[0].sizes;
    TensorRef slope = parameter;
    slope.data = gradient.data() + offset;
    parameter.device = slope.device = DeviceType::cuda;
    for (int step = 0; step < 3; ++step)
      optimizer.step(std::span(&parameter, 1), std::span(&slope, 1)).check();
    results.emplace_back(weight.begin() + static_cast<std::ptrdiff_t>(offset), weight.end());
    for (std::size_t i = 0; i < offset; ++i) EXPECT_EQ(weight[i], 0.5f);
  }
  EXPECT_EQ(results[1], results[0]);
  EXPECT_EQ(results[2], results[0]);
}

TEST(CudaOptimizer, StateMovesBetweenCpuAndDevice) {
  for (const Case& chosen : cases()) {
    Pair pair(chosen, DType::bfloat16, DType::bfloat16);
    std::mt19937_64 random(21);
    for (int step = 0; step < 4; ++step) pair.step(testing::exact_gradients(random, pair.host.parameters));
    const auto saved = pair.host.optimizer.save().value();
    pair.device.load(saved).check();
    EXPECT_EQ(pair.device.save().value(), saved) << chosen.name;
    const auto values = testing::exact_gradients(random, pair.host.parameters);
    pair.step(values);
    if (chosen.name != "adam_mini") pair.expect_same_bits(chosen.name);
    pair.host.optimizer.load(pair.device.save().value()).check();
  }
}

/// Parameters stepped one after the other, in any order, are those that are stepped together.
TEST(CudaOptimizer, StepsParametersOneByOne) {
  for (const Case& chosen : cases()) {
    if (chosen.name == "spam") continue;  // resets all moments in one step of the whole
    for (const DType dtype : {DType::float32, DType::bfloat16}) {
      Pair pair(chosen, dtype, DType::float32);
      Gradients weights(pair.weights);
      Pair::move_refs(weights);
      cuda::Optimizer single(chosen.options, Pair::transform(true));
      cuda::DeviceOptions options = emulated();
      options.seed = 5;
      single.init(testing::small_model(), options).check();
      std::mt19937_64 random(29);
      const std::size_t count = weights.refs().size();
      for (std::size_t step = 0; step < 7; ++step) {
        pair.step(testing::random_gradients(random, pair.host.parameters));
        const auto launches = single.counts().launches;
        for (std::size_t i = 0; i < count; ++i) {
          const std::size_t t = (i * 5 + step) % count;
          single.step_one(t, on_device(weights.refs())[t], on_device(pair.gradients.refs())[t]).check();
        }
        EXPECT_EQ(single.counts().launches - launches, 3 * count);
        for (std::size_t t = 0; t < count; ++t)
          ASSERT_EQ(weights.bytes(t), pair.weights.bytes(t)) << chosen.name << " step " << step << ", " << t;
        const auto together = testing::reports_of(pair.device);
        const auto one_by_one = testing::reports_of(single);
        for (std::size_t t = 0; t < count; ++t) {
          EXPECT_EQ(one_by_one[t].raw_norm, together[t].raw_norm);
          EXPECT_EQ(one_by_one[t].factor, together[t].factor);
        }
      }
    }
  }
}

TEST(CudaOptimizer, RefusesToStepOneWhereAllAreNeeded) {
  cuda::Optimizer spam(SpamOptions{});
  spam.init(testing::small_model(), emulated()).check();
  EXPECT_THAT(spam.can_step_one().message(), HasSubstr("spam"));
  cuda::Optimizer skips(AdamOptions(), stabilize());
  skips.init(testing::small_model(), emulated(NonFinitePolicy::skip_step)).check();
  EXPECT_THAT(skips.step_one(0, {}, {}).message(), HasSubstr("skip_step"));
  cuda::Optimizer adam(AdamOptions(), stabilize());
  EXPECT_EQ(adam.step_one(0, {}, {}).code(), StatusCode::failed_precondition);
  adam.init(testing::small_model(), emulated()).check();
  EXPECT_THAT(adam.step_one(99, {}, {}).message(), HasSubstr("99"));
  EXPECT_TRUE(adam.step_one(0, {}, {}).ok()) << "no gradient, no step";
}

/// A run that spends its middle on the device is the run on the host.
TEST(CudaOptimizer, MovesToADeviceAndBackInTheMiddleOfARun) {
  for (const Case& chosen : cases()) {
    // As above: its norms of units are in another order.
    if (chosen.name == "adam_mini") continue;
    for (const DType dtype : {DType::float32, DType::bfloat16}) {
      const OptimizerRunOptions run{.seed = 5};
      const auto make = [&] {
        return Training(testing::small_model(), dtype, chosen.options, Pair::transform(true), run);
      };
      Training stays = make();
      Training moves = make();
      cuda::DeviceOptions options = emulated();
      options.seed = run.seed;
      std::mt19937_64 random(23);
      const auto steps_on_host = [&] {
        for (int step = 0; step < 4; ++step) {
          const auto values = testing::exact_gradients(random, stays.parameters);
          stays.step(values);
          moves.step(values);
        }
      };
      steps_on_host();
      auto device = cuda::Optimizer::take(moves.optimizer, options).value();
      EXPECT_EQ(device.save().value(), stays.optimizer.save().value());
      for (int step = 0; step < 4; ++step) {
        const auto values = testing::exact_gradients(random, stays.parameters);
        stays.step(values);
        moves.gradients.set_all(values);
        device.step(on_device(moves.weights.refs()), on_device(moves.gradients.refs())).check();
      }
      moves.optimizer = device.release().value();
      EXPECT_EQ(device.release().status().code(), StatusCode::failed_precondition);
      EXPECT_EQ(moves.optimizer.save().value(), stays.optimizer.save().value()) << chosen.name;
      steps_on_host();
      EXPECT_EQ(moves.weight_bytes(), stays.weight_bytes()) << chosen.name;
      EXPECT_EQ(moves.optimizer.save().value(), stays.optimizer.save().value()) << chosen.name;
    }
  }
}

TEST(CudaOptimizer, WhatADeviceRefusesStaysOnTheHost) {
  const auto expect_refused = [](Training& training, const std::string& why) {
    std::mt19937_64 random(3);
    training.step(testing::random_gradients(random, training.parameters));
    const auto before = training.optimizer.save().value();
    EXPECT_THAT(cuda::Optimizer::take(training.optimizer, emulated()).status().message(), HasSubstr(why));
    EXPECT_EQ(training.optimizer.save().value(), before);
    training.step(testing::random_gradients(random, training.parameters));
  };
  Training clips(testing::small_model(), DType::float32, AdamOptions(), clip_by_value(1.0));
  expect_refused(clips, "clip_by_value");
  Training wide(testing::small_model(), DType::float64, AdamOptions(), stabilize());
  expect_refused(wide, "float64");
  Optimizer fresh{AdamOptions()};
  EXPECT_EQ(cuda::Optimizer::take(fresh, emulated()).status().code(), StatusCode::failed_precondition);
}

TEST(CudaOptimizer, ReadsItsLearningRateOnTheDevice) {
  Pair pair({"adamw", AdamOptions::adamw()}, DType::float32, DType::float32);
  std::mt19937_64 random(4);
  pair.step(testing::exact_gradients(random, pair.host.parameters));
  pair.host.optimizer.set_lr(0.25).check();
  pair.device.set_lr(0.25).check();
  const cuda::DeviceCounts before = pair.device.counts();
  pair.step(testing::exact_gradients(random, pair.host.parameters));
  pair.expect_same_bits("after set_lr");
  EXPECT_EQ(pair.device.counts().launches - before.launches, 3u);
  EXPECT_EQ(pair.device.counts().copies, before.copies);
  EXPECT_EQ(pair.device.counts().waits, 0u);
  EXPECT_EQ(pair.device.set_lr(-1.0).code(), StatusCode::invalid_argument);
}

TEST(CudaOptimizer, ChangesItsRuleBetweenSteps) {
  Pair pair({"momentum", SgdOptions{.momentum = 0.9}}, DType::float32, DType::float32);
  std::mt19937_64 random(6);
  pair.step(testing::exact_gradients(random, pair.host.parameters));
  const SgdOptions nesterov{.momentum = 0.9, .nesterov = true};
  pair.host.optimizer.set_options(0, nesterov).check();
  pair.device.set_options(0, nesterov).check();
  pair.step(testing::exact_gradients(random, pair.host.parameters));
  pair.expect_same_bits("after set_options");
  const Status refused = pair.device.set_options(0, SgdOptions{});
  EXPECT_THAT(refused.message(), HasSubstr("has begun to train"));
}

TEST(CudaOptimizer, NeverTakesMoreThanFourLaunches) {
  for (const Case& chosen : cases()) {
    Pair pair(chosen, DType::float32, DType::float32);
    std::mt19937_64 random(8);
    pair.step(testing::exact_gradients(random, pair.host.parameters));
    EXPECT_LE(pair.device.counts().launches, 4u) << chosen.name;
    EXPECT_EQ(pair.device.counts().waits, 0u) << chosen.name;
  }
}

TEST(CudaOptimizer, RefusesWhatADeviceHasNot) {
  const auto set = testing::parameter_set_of_sizes({{2, 3}});
  cuda::Optimizer optimizer(AdamOptions{});
  optimizer.init(set, emulated()).check();
  Gradients weights(set, DType::float32);
  Gradients gradients(set, DType::float32);
  weights.set(0, Values(6, 1.0));
  gradients.set(0, Values(6, 1.0));
  EXPECT_THAT(optimizer.step(weights.refs(), on_device(gradients.refs())).message(), HasSubstr("on the CPU"));
  auto transposed = on_device(weights.refs());
  const std::int64_t strides[] = {1, 2};
  transposed[0].strides = strides;
  EXPECT_THAT(optimizer.step(transposed, on_device(gradients.refs())).message(),
              HasSubstr("different orders"));
  auto half = on_device(weights.refs());
  half[0].dtype = DType::float16;
  EXPECT_THAT(optimizer.step(half, on_device(gradients.refs())).message(), HasSubstr("float32 or bfloat16"));
  optimizer.step(on_device(weights.refs()), on_device(gradients.refs())).check();
  half[0].dtype = DType::bfloat16;
  EXPECT_THAT(optimizer.step(half, on_device(gradients.refs())).message(),
              HasSubstr("its state is of float32"));
}

/// A parameter that has a gradient in another process alone is decided on, and neither it nor its state are
/// touched: as on the CPU.
TEST(CudaOptimizer, PartsWithoutAGradientHereAreLeftAlone) {
  for (const Case& chosen : cases()) {
    if (chosen.name == "adam_mini") continue;
    Training host(testing::small_model(), DType::float32, chosen.options, stabilize());
    Training there(testing::small_model(), DType::float32, chosen.options, stabilize());
    auto device = cuda::Optimizer::take(there.optimizer, emulated(), nullptr, true).value();
    std::mt19937_64 random(23);
    for (int step = 0; step < 8; ++step) {
      const auto gradients = testing::exact_gradients(random, host.parameters);
      for (Training* each : {&host, &there}) {
        each->gradients.set_all(gradients);
        if (step == 3) each->gradients.set_absent(1);
        if (step == 4) each->gradients.set_absent(2);
      }
      host.optimizer.measure(host.weights.refs(), host.gradients.refs()).check();
      device.measure(on_device(there.weights.refs()), on_device(there.gradients.refs())).check();
      for (std::size_t t = 0; t < host.parameters.size(); ++t) {
        EXPECT_EQ(device.squared_norms()[t], host.optimizer.squared_norms()[t]);
        // What another process adds; in step 4 no process has a gradient of the third.
        const double sum = step == 4 && t == 2 ? kNoGradient : host.optimizer.squared_norms()[t] + 2.25;
        host.optimizer.squared_norms()[t] = device.squared_norms()[t] = sum;
      }
      const StepReport expected = host.optimizer.finish().value();
      device.finish().check();
      const auto reports = testing::reports_of(device);
      for (std::size_t t = 0; t < reports.size(); ++t) {
        EXPECT_EQ(reports[t].present, expected.tensors[t].present) << chosen.name << ", step " << step;
        EXPECT_DOUBLE_EQ(reports[t].factor, expected.tensors[t].factor) << chosen.name << ", step " << step;
      }
      EXPECT_EQ(testing::difference(there.weights.values(), host.weights.values(), 0x1p-20), "")
          << chosen.name;
    }
    const auto released = device.release().value();
    for (std::size_t t = 0; t < host.parameters.size(); ++t)
      EXPECT_EQ(released.parameter_state(t)->step, host.optimizer.parameter_state(t)->step) << chosen.name;
  }
}

}  // namespace
}  // namespace gradstab
