// Methods of norms that the device has no decision for: it measures and writes, the host decides.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "cuda/emulated.hpp"
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

struct Method {
  std::string name;
  GradientTransform (*make)();
};

std::vector<Method> methods() {
  return {{"clip_by_global_norm", [] { return clip_by_global_norm(3.0); }},
          {"zclip", [] { return zclip({.warmup_steps = 3}); }},
          {"adagc", [] { return adagc({.warmup_steps = 3}); }},
          {"adaptive_norm", [] { return adaptive_norm(); }},
          {"normalize", [] { return normalize(); }},
          {"scale_by", [] { return scale_by(0.3); }},
          {"stabilize per model", [] { return stabilize({}, Units::whole_model()); }},
          {"chain", [] { return chain(clip_by_global_norm(2.0), stabilize(StabilizerOptions::robust())); }}};
}

/// With gradients whose squares add up exactly in any order, nothing at all may differ from the CPU.
TEST(HostDecision, GradientsAreThoseOfTheCpuBitForBit) {
  for (const Method& method : methods()) {
    for (const NonFinitePolicy policy : {NonFinitePolicy::skip_tensor, NonFinitePolicy::skip_step}) {
      GradientTransform host = method.make();
      host.init(testing::small_model(), {.nonfinite = policy}).check();
      cuda::Transform device(method.make());
      device.init(testing::small_model(), emulated(policy)).check();
      Gradients on_host(host.parameters(), DType::float32);
      Gradients there(host.parameters(), DType::float32);
      std::mt19937_64 random(11);
      for (int step = 0; step < 12; ++step) {
        auto values = testing::exact_gradients(random, host.parameters());
        if (step == 7) values[1][0] = std::numeric_limits<double>::quiet_NaN();
        for (Gradients* each : {&on_host, &there}) {
          each->set_all(values);
          if (step % 4 == 3) each->set_absent(2);
        }
        const StepReport expected = host.update(on_host.refs()).value();
        const auto waits = device.counts().waits;
        device.update(on_device(there.refs())).check();
        EXPECT_EQ(device.counts().waits - waits, 1u) << method.name;
        const StepReport report = device.report().value();
        EXPECT_EQ(report.skip_step, expected.skip_step) << method.name << " step " << step;
        EXPECT_EQ(report.raw_global_norm, expected.raw_global_norm) << method.name << " step " << step;
        EXPECT_EQ(report.global_norm, expected.global_norm) << method.name << " step " << step;
        for (std::size_t t = 0; t < values.size(); ++t) {
          if (step == 7 && t == 1 && report.skip_step) continue;  // NaN is not equal to itself
          ASSERT_EQ(there.values(t), on_host.values(t)) << method.name << " step " << step << " tensor " << t;
        }
      }
      EXPECT_EQ(device.save().value(), host.save().value()) << method.name;
      // And it goes on on the host.
      GradientTransform back = device.release().value();
      EXPECT_EQ(back.save().value(), host.save().value()) << method.name;
    }
  }
}

TEST(HostDecision, OptimizersAreThoseOfTheCpuBitForBit) {
  for (const Method& method : methods()) {
    const OptimizerRunOptions run{.seed = 5};
    Training host(testing::small_model(), DType::bfloat16, AdamOptions::adamw(), method.make(), run);
    Training there(testing::small_model(), DType::bfloat16, AdamOptions::adamw(), method.make(), run);
    std::mt19937_64 random(13);
    const auto first = testing::exact_gradients(random, host.parameters);
    host.step(first);
    there.step(first);
    cuda::DeviceOptions options = emulated();
    options.seed = run.seed;
    auto device = cuda::Optimizer::take(there.optimizer, options).value();
    for (int step = 0; step < 8; ++step) {
      const auto values = testing::exact_gradients(random, host.parameters);
      host.step(values);
      there.gradients.set_all(values);
      device.step(on_device(there.weights.refs()), on_device(there.gradients.refs())).check();
      ASSERT_EQ(there.weight_bytes(), host.weight_bytes()) << method.name << " step " << step;
      EXPECT_EQ(there.gradients.values(0), values[0]) << "the factor is folded into the update";
    }
    EXPECT_EQ(device.save().value(), host.optimizer.save().value()) << method.name;
    there.optimizer = device.release().value();
    const auto last = testing::exact_gradients(random, host.parameters);
    host.step(last);
    there.step(last);
    EXPECT_EQ(there.weight_bytes(), host.weight_bytes()) << method.name;
  }
}

TEST(HostDecision, TensorsWithoutElementsAreTensors) {
  const auto parameters = testing::parameter_set_of_sizes({{2}, {0, 3}, {}});
  cuda::Transform device(clip_by_global_norm(1.0));
  device.init(parameters, emulated()).check();
  Gradients gradients(parameters, DType::float32);
  gradients.set(0, Values{3.0, 0.0});
  gradients.set(2, Values{4.0});
  auto refs = on_device(gradients.refs());
  std::byte nothing{};
  refs[1].data = &nothing;
  device.update(refs).check();
  EXPECT_NEAR(gradients.values(0)[0], 3.0 / (5.0 + 1e-6), 1e-7) << "as PyTorch adds to the norm";
  EXPECT_TRUE(device.report().value().tensors[1].present);
}

TEST(HostDecision, SkippedStepsChangeNothing) {
  Training there(testing::small_model(), DType::float32, AdamOptions(), clip_by_global_norm(1.0),
                 {.run = {.nonfinite = NonFinitePolicy::skip_step}});
  auto device = cuda::Optimizer::take(there.optimizer, emulated(NonFinitePolicy::skip_step)).value();
  std::mt19937_64 random(17);
  auto values = testing::exact_gradients(random, there.parameters);
  there.gradients.set_all(values);
  device.step(on_device(there.weights.refs()), on_device(there.gradients.refs())).check();
  const auto weights = there.weight_bytes();
  const auto state = device.save().value();
  values[0][0] = std::numeric_limits<double>::infinity();
  there.gradients.set_all(values);
  device.step(on_device(there.weights.refs()), on_device(there.gradients.refs())).check();
  EXPECT_TRUE(device.report().value().skip_step);
  EXPECT_EQ(there.weight_bytes(), weights);
  EXPECT_EQ(device.save().value(), state);
}

TEST(HostDecision, WhatItCannotDoIsSaid) {
  cuda::Optimizer one_by_one(AdamOptions(), normalize());
  one_by_one.init(testing::small_model(), emulated()).check();
  EXPECT_THAT(one_by_one.can_step_one().message(), HasSubstr("the host decides for 'normalize'"));
  AdamMiniOptions mini;
  mini.dim = 8;
  mini.n_heads = 2;
  cuda::Optimizer units(mini, clip_by_global_norm(1.0));
  EXPECT_THAT(units.init(testing::small_model(), emulated()).message(), HasSubstr("adam_mini"));
}

}  // namespace
}  // namespace gradstab
