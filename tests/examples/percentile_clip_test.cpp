// The method of examples/percentile_clip.hpp against a computation of its own, wherever the library takes it:
// over a checkpoint, in chains, in front of an optimizer, in two shards, on a device.
#include "percentile_clip.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "gradstab/cuda.hpp"
#include "gradstab/optimizer.hpp"
#include "support/plain_percentile_clip.hpp"

namespace gradstab::testing {
namespace {

constexpr double kTolerance = 1e-13;  // a few hundred roundings of doubles

TEST(PercentileClipTest, HasThePercentilesOfNumpy) {
  // numpy.percentile(norms[:i], 10) and (norms[:i], 75) of numpy 2.4.6, for i = 1, 2, ...
  const double norms[] = {3.0, 1.0, 4.0, 1.5, 9.0, 2.5, 6.0, 5.25};
  const double tenth[] = {3.0, 1.2, 1.4, 1.15, 1.2, 1.25, 1.3, 1.35};
  const double upper[] = {3.0, 2.5, 3.5, 3.25, 4.0, 3.75, 5.0, 5.4375};
  for (const bool high : {false, true}) {
    GradientTransform transform = percentile_clip(high ? 75.0 : 10.0);
    transform.init(ParameterSet::create({{"a", {2}}}).value()).check();
    const auto plain = plain_percentile_factors({std::begin(norms), std::end(norms)}, high ? 75.0 : 10.0);
    for (std::size_t i = 0; i < std::size(norms); ++i) {
      const double square = norms[i] * norms[i];
      const double limit = high ? upper[i] : tenth[i];
      const double expected = std::fmin(1.0, limit / (norms[i] + 1e-6));
      EXPECT_NEAR(transform.decide({&square, 1})->tensors[0].factor, expected, kTolerance) << i;
      EXPECT_NEAR(plain[i], expected, kTolerance) << i;
    }
  }
}

/// Runs all steps, and puts what is saved after half of them into a fresh transform; returns the factors.
std::vector<double> factors_of(GradientTransform (*make)(), std::size_t tensor) {
  std::vector<double> factors;
  GradientTransform transform = make();
  transform.init(clipped_parameters()).check();
  Gradients gradients(transform.parameters(), DType::float64);
  for (int step = 1; step <= kRecordedSteps; ++step) {
    gradients.set_all(clipped_gradients(step));
    const TensorReport report = transform.update(gradients.refs())->tensors[tensor];
    factors.push_back(report.factor);
    const double expected = clipped_gradients(step)[tensor][3] * report.factor;
    EXPECT_NEAR(gradients.values(tensor)[3], expected, kTolerance * std::fabs(expected));
    if (step != kRecordedSteps / 2) continue;
    const auto checkpoint = transform.save().value();
    transform = make();
    transform.init(clipped_parameters()).check();
    transform.load(checkpoint).check();
  }
  return factors;
}

TEST(PercentileClipTest, ClipsToThePercentileOverACheckpoint) {
  const auto factors = factors_of([] { return percentile_clip(); }, 0);
  const auto expected = plain_percentile_factors(recorded_norms(), 10.0);
  std::size_t clipped = 0;
  for (std::size_t i = 0; i < expected.size(); ++i) {
    EXPECT_NEAR(factors[i], expected[i], kTolerance) << i;
    clipped += expected[i] < 0.5 ? 1u : 0u;
  }
  EXPECT_GE(clipped, 3u);  // the spikes, at least
}

TEST(PercentileClipTest, BehindStabilizeItSeesStabilizedNorms) {
  GradientTransform alone = stabilize();
  alone.init(clipped_parameters()).check();
  Gradients gradients(alone.parameters(), DType::float64);
  std::vector<double> norms;
  std::vector<double> stabilized;
  for (int step = 1; step <= kRecordedSteps; ++step) {
    gradients.set_all(clipped_gradients(step));
    const StepReport report = alone.update(gradients.refs()).value();
    norms.push_back(std::hypot(report.tensors[0].norm(), report.tensors[1].norm()));
    stabilized.push_back(report.tensors[1].factor);
  }
  const auto clip = plain_percentile_factors(norms, 10.0);
  const auto factors = factors_of([] { return chain(stabilize(), percentile_clip()); }, 1);
  for (std::size_t i = 0; i < clip.size(); ++i)
    EXPECT_NEAR(factors[i], stabilized[i] * clip[i], kTolerance) << i;
}

TEST(PercentileClipTest, InFrontOfAFusedOptimizer) {
  const auto factors = plain_percentile_factors(recorded_norms(), 10.0);
  Optimizer fused(AdamOptions::adamw(), percentile_clip());
  Optimizer plain(AdamOptions::adamw());
  fused.init(clipped_parameters()).check();
  plain.init(clipped_parameters()).check();
  Gradients fused_gradients(fused.parameters(), DType::float64);
  Gradients plain_gradients(plain.parameters(), DType::float64);
  Gradients fused_parameters(fused.parameters(), DType::float64);
  Gradients plain_parameters(plain.parameters(), DType::float64);
  fused_parameters.set_all(clipped_gradients(100));
  plain_parameters.set_all(clipped_gradients(100));
  for (int step = 1; step <= kRecordedSteps; ++step) {
    std::vector<Values> gradients = clipped_gradients(step);
    fused_gradients.set_all(gradients);
    for (Values& tensor : gradients) {
      for (double& value : tensor) value *= factors[static_cast<std::size_t>(step) - 1];
    }
    plain_gradients.set_all(gradients);
    fused.step(fused_parameters.refs(), fused_gradients.refs()).value();
    plain.step(plain_parameters.refs(), plain_gradients.refs()).value();
  }
  for (std::size_t t = 0; t < 2; ++t) {
    const Values found = fused_parameters.values(t);
    const Values expected = plain_parameters.values(t);
    for (std::size_t i = 0; i < expected.size(); ++i) EXPECT_NEAR(found[i], expected[i], 1e-12);
    EXPECT_NE(found, clipped_gradients(100)[t]);
  }
}

/// Half of each tensor.
std::vector<Values> half(std::vector<Values> tensors, std::size_t which) {
  for (Values& tensor : tensors) {
    const auto middle = tensor.begin() + static_cast<std::ptrdiff_t>(tensor.size() / 2);
    tensor = which == 0 ? Values(tensor.begin(), middle) : Values(middle, tensor.end());
  }
  return tensors;
}

TEST(PercentileClipTest, InTwoShardsItIsTheSame) {
  const auto parts = ParameterSet::create({{"matrix", {6}}, {"vector", {3}}}).value();
  const auto optimizer = [](const ParameterSet& parameters) {
    Optimizer made(SgdOptions{.lr = 0.1}, chain(percentile_clip(), stabilize()));
    made.init(parameters).check();
    return made;
  };
  Optimizer whole = optimizer(clipped_parameters());
  Gradients whole_gradients(whole.parameters(), DType::float64);
  Gradients whole_parameters(whole.parameters(), DType::float64);
  whole_parameters.set_all(clipped_gradients(100));
  Optimizer shards[] = {optimizer(parts), optimizer(parts)};
  // In place: their tensors point into them.
  std::vector<std::unique_ptr<Gradients>> shard_gradients;
  std::vector<std::unique_ptr<Gradients>> shard_parameters;
  for (std::size_t s = 0; s < 2; ++s) {
    shard_gradients.push_back(std::make_unique<Gradients>(parts, DType::float64));
    shard_parameters.push_back(std::make_unique<Gradients>(parts, DType::float64));
    shard_parameters[s]->set_all(half(clipped_gradients(100), s));
  }
  for (int step = 1; step <= kRecordedSteps; ++step) {
    whole_gradients.set_all(clipped_gradients(step));
    const double expected = whole.step(whole_parameters.refs(), whole_gradients.refs())->tensors[0].factor;
    for (std::size_t s = 0; s < 2; ++s) {
      shard_gradients[s]->set_all(half(clipped_gradients(step), s));
      shards[s].measure(shard_parameters[s]->refs(), shard_gradients[s]->refs()).check();
    }
    for (std::size_t t = 0; t < 2; ++t) {
      const double sum = shards[0].squared_norms()[t] + shards[1].squared_norms()[t];
      for (Optimizer& shard : shards) shard.squared_norms()[t] = sum;
    }
    for (Optimizer& shard : shards) EXPECT_NEAR(shard.finish()->tensors[0].factor, expected, kTolerance);
  }
  for (std::size_t s = 0; s < 2; ++s) {
    for (std::size_t t = 0; t < 2; ++t) {
      const Values found = shard_parameters[s]->values(t);
      const Values expected = half(whole_parameters.values(), s)[t];
      for (std::size_t i = 0; i < expected.size(); ++i) EXPECT_NEAR(found[i], expected[i], 1e-12);
    }
  }
}

TEST(PercentileClipTest, OnADeviceTheHostDecides) {
  const auto factors = plain_percentile_factors(recorded_norms(), 10.0);
  cuda::Transform device(percentile_clip());
  device.init(clipped_parameters(), {.emulate = true}).check();
  Gradients gradients(device.parameters(), DType::float32);
  for (TensorRef& tensor : gradients.mutable_refs()) tensor.device = DeviceType::cuda;
  for (int step = 1; step <= kRecordedSteps; ++step) {
    gradients.set_all(clipped_gradients(step));
    device.update(gradients.refs()).check();
    const double factor = factors[static_cast<std::size_t>(step) - 1];
    EXPECT_NEAR(device.report()->tensors[0].factor, factor,
                1e-6);  // norms of gradients that are rounded to float32
    const double expected = clipped_gradients(step)[0][3] * factor;
    EXPECT_NEAR(gradients.values(0)[3], expected, 1e-6 * std::fabs(expected) + 1e-7);
  }
  const auto bytes = device.save().value();
  GradientTransform host = percentile_clip();
  host.init(clipped_parameters()).check();
  host.load(bytes).check();
  EXPECT_EQ(host.state()[0].fields[0].values.size(), static_cast<std::size_t>(kRecordedSteps));
}

TEST(PercentileClipTest, RestoresParameterByParameter) {
  GradientTransform transform = percentile_clip();
  transform.init(clipped_parameters()).check();
  for (const double square : {9.0, 1.0, 16.0}) {
    const double squares[] = {square, kNoGradient};
    transform.decide(squares).value();
  }
  GradientTransform other = percentile_clip();
  other.init(clipped_parameters()).check();
  other.set_statistics(std::vector{transform.statistics(0).value(), transform.statistics(1).value()}).check();
  EXPECT_EQ(other.save().value(), transform.save().value());
  EXPECT_EQ(other.state()[0].fields[0].values, (std::vector<double>{1.0, 3.0, 4.0}));
}

TEST(PercentileClipTest, AnotherPercentileIsAnotherMethod) {
  GradientTransform tenth = percentile_clip(10.0);
  GradientTransform median = percentile_clip(50.0);
  for (GradientTransform* transform : {&tenth, &median}) transform->init(clipped_parameters()).check();
  EXPECT_EQ(median.load(tenth.save().value()).message(),
            "percentile_clip has percentile = 50 here but percentile = 10 in the saved state");
}

TEST(PercentileClipTest, AStepPerParameterIsRefusedInWords) {
  Optimizer optimizer(AdamOptions::adamw(), percentile_clip());
  optimizer.init(clipped_parameters()).check();
  EXPECT_THAT(optimizer.can_step_one().message(),
              ::testing::StartsWith("'percentile_clip' needs the norms of all"));
}

}  // namespace
}  // namespace gradstab::testing
