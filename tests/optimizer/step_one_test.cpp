// Steps of one parameter at a time, and measuring ahead of a step.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <numeric>

#include "gradstab/transforms.hpp"
#include "optimizer/kinds.hpp"
#include "optimizer/training.hpp"

namespace gradstab::testing {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

struct Front {
  const char* name;
  std::function<std::optional<GradientTransform>()> make;
  bool rows = false;

  friend std::ostream& operator<<(std::ostream& out, const Front& front) { return out << front.name; }
};

/// Those that look at one tensor at a time.
std::vector<Front> per_tensor_fronts() {
  return {{"none", [] { return std::nullopt; }},
          {"stabilize", [] { return stabilize(); }},
          {"robust", [] { return stabilize({.robust_kappa = 2.5}); }},
          {"per_row", [] { return stabilize({}, Units::per_row()); }, true},
          {"chain", [] { return chain(record_norms(), stabilize()); }},
          {"agc", [] { return adaptive_clip({.clip_factor = 0.3}); }, true},
          {"adagc", [] { return adagc({.warmup_steps = 3, .global_warmup = false}); }},
          {"stable_spam", [] { return chain(adaptive_value_clip({.theta = 0.9}), adaptive_norm()); }},
          {"spike_aware", [] {
             return chain(normalize(), scale_by(0.3), clip_by_value(0.2),
                          spike_aware_clip({.threshold = 2.0, .quiet_steps = 3}), record_norms());
           }}};
}

std::vector<Front> all_fronts() {
  std::vector<Front> fronts = per_tensor_fronts();
  fronts.push_back({"clip", [] { return clip_by_global_norm(1.0); }});
  fronts.push_back({"clip_max_abs_stabilize", [] {
                      return chain(clip_by_global_norm(GlobalNormOptions::largest_entry(0.5)), stabilize());
                    }});
  fronts.push_back(
      {"zclip_value_clip", [] { return chain(zclip({.warmup_steps = 4}), clip_by_value(0.2)); }});
  fronts.push_back({"model", [] { return stabilize({}, Units::whole_model()); }});
  return fronts;
}

using Combination = std::tuple<Kind, Front>;

bool possible(const Kind& kind, const Front& front) {
  return !(front.rows && std::holds_alternative<AdamMiniOptions>(kind.options));
}

std::vector<Combination> combinations(const std::vector<Front>& fronts, bool with_spam) {
  std::vector<Combination> result;
  for (const Kind& kind : all_kinds()) {
    if (!with_spam && !steps_one_by_one(kind.options)) continue;
    for (const Front& front : fronts)
      if (possible(kind, front)) result.emplace_back(kind, front);
  }
  return result;
}

std::string name_of(const ::testing::TestParamInfo<Combination>& test) {
  return std::get<0>(test.param).name + "_behind_" + std::get<1>(test.param).name;
}

class BySteps : public ::testing::TestWithParam<Combination> {
 protected:
  Training make(const ParameterSet& parameters, DType dtype, OptimizerRunOptions run = {}) const {
    return Training(parameters, dtype, std::get<0>(GetParam()).options, std::get<1>(GetParam()).make(),
                    std::move(run));
  }
  static void expect_same(const Training& a, const Training& b) {
    ASSERT_EQ(a.weight_bytes(), b.weight_bytes());
    for (std::size_t i = 0; i < a.parameters.size(); ++i) {
      ASSERT_EQ(a.optimizer.parameter_state(i)->step, b.optimizer.parameter_state(i)->step);
      ASSERT_EQ(a.optimizer.parameter_state(i)->values, b.optimizer.parameter_state(i)->values);
    }
  }
};

class StepOneTest : public BySteps {};

TEST_P(StepOneTest, EqualsTheStepOverAllInAnyOrder) {
  for (const DType dtype : {DType::float32, DType::bfloat16}) {
    std::mt19937_64 random(43);
    const ParameterSet parameters = small_model(6);
    Training all = make(parameters, dtype);
    Training one = make(parameters, dtype);
    ASSERT_TRUE(one.optimizer.can_step_one().ok());
    std::vector<std::size_t> order(parameters.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    for (int step = 0; step < 8; ++step) {
      auto gradients = random_gradients(random, parameters);
      if (step == 3) gradients[2][5] = kNaN;
      all.gradients.set_all(gradients);
      one.gradients.set_all(gradients);
      if (step % 3 == 1) {
        all.gradients.set_absent(static_cast<std::size_t>(step % 6));
        one.gradients.set_absent(static_cast<std::size_t>(step % 6));
      }
      const auto report = all.optimizer.step(all.weights.refs(), all.gradients.refs());
      ASSERT_TRUE(report.ok());
      std::ranges::shuffle(order, random);
      for (const std::size_t i : order) {
        const auto alone = one.optimizer.step_one(i, one.weights.refs()[i], one.gradients.refs()[i]);
        ASSERT_TRUE(alone.ok()) << alone.status().message();
        const TensorReport& expected = report->tensors[i];
        EXPECT_EQ(alone->present, expected.present);
        EXPECT_EQ(alone->factor, expected.factor);
        EXPECT_EQ(alone->spike, expected.spike);
        EXPECT_EQ(alone->zeroed, expected.zeroed);
        EXPECT_EQ(alone->finite, expected.finite);
        EXPECT_TRUE(!expected.finite || alone->raw_norm == expected.raw_norm);
      }
      expect_same(one, all);
    }
  }
}

TEST_P(StepOneTest, RaiseNamesTheTensorAndLeavesItAsItWas) {
  std::mt19937_64 random(44);
  Training run = make(small_model(6), DType::float32, {.run = {.nonfinite = NonFinitePolicy::raise}});
  for (const int steps : {0, 2}) {
    for (int step = 0; step < steps; ++step) run.step(random_gradients(random, run.parameters));
    const auto weights = run.weight_bytes();
    const auto state = run.optimizer.save().value();
    auto gradients = random_gradients(random, run.parameters);
    gradients[1][9] = kNaN;
    run.gradients.set_all(gradients);
    const Status status = run.optimizer.step_one(1, run.weights.refs()[1], run.gradients.refs()[1]).status();
    EXPECT_EQ(status.code(), StatusCode::non_finite);
    EXPECT_EQ(status.message(), "gradient holds NaN or Inf: 'layers.0.q_proj.weight'");
    EXPECT_EQ(run.weight_bytes(), weights);
    EXPECT_EQ(run.optimizer.save().value(), state);
    EXPECT_TRUE(run.optimizer.step_one(0, run.weights.refs()[0], run.gradients.refs()[0]).ok());
  }
}

INSTANTIATE_TEST_SUITE_P(All, StepOneTest, ::testing::ValuesIn(combinations(per_tensor_fronts(), false)),
                         name_of);

TEST(StepOneRefusalTest, WhateverNeedsAllTensorsSaysSo) {
  const ParameterSet parameters = small_model();
  const auto refusal = [&](OptimizerOptions options, std::optional<GradientTransform> front,
                           NonFinitePolicy policy = NonFinitePolicy::skip_tensor) {
    Training run(parameters, DType::float32, std::move(options), std::move(front),
                 {.run = {.nonfinite = policy}});
    run.gradients.set(0, Values(88, 1.0));
    const Status status = run.optimizer.can_step_one();
    EXPECT_EQ(status.code(), StatusCode::unsupported);
    const auto fresh = run.optimizer.save().value();
    EXPECT_EQ(run.optimizer.step_one(0, run.weights.refs()[0], run.gradients.refs()[0]).status().message(),
              status.message());
    EXPECT_EQ(run.optimizer.save().value(), fresh);
    return status.message();
  };
  const std::string tail =
      " needs the norms of all tensors before the first one is updated, so it cannot be part of a step per "
      "parameter; use a per-tensor method such as 'stabilize', or step over all parameters at once";
  EXPECT_EQ(refusal(AdamOptions{}, clip_by_global_norm(1.0)), "'clip_by_global_norm'" + tail);
  EXPECT_EQ(refusal(AdamOptions{}, chain(stabilize(), clip_by_global_norm(1.0))),
            "'clip_by_global_norm'" + tail);
  EXPECT_EQ(refusal(AdamOptions{}, stabilize({}, Units::whole_model())), "'stabilize'" + tail);
  EXPECT_EQ(refusal(AdamOptions{}, zclip()), "'zclip'" + tail);
  EXPECT_EQ(refusal(AdamOptions{}, adagc()), "'adagc'" + tail) << "because of its global warm-up";
  EXPECT_EQ(
      refusal(AdamOptions{}, chain(clip_by_value(0.1), adagc({.global_warmup = false, .whole_model = true}))),
      "'adagc'" + tail);
  EXPECT_EQ(refusal(AdamOptions{}, stabilize({}, Units::by_name({{"layers", {"layers.*"}}}))),
            "'stabilize'" + tail);
  EXPECT_EQ(
      refusal(AdamOptions{}, stabilize(), NonFinitePolicy::skip_step),
      "policy 'skip_step' needs all gradients before the first parameter is updated; use 'skip_tensor', or "
      "step over all parameters at once");
  EXPECT_EQ(
      refusal(SpamOptions{}, {}),
      "'spam' resets all moments at the same step of the whole model; step over all parameters at once");
}

TEST(StepOneRefusalTest, AnUnknownIndexIsRefusedAndAMissingGradientIsNot) {
  Training run(small_model(), DType::float32, AdamOptions{}, stabilize());
  const auto fresh = run.optimizer.save().value();
  EXPECT_EQ(run.optimizer.step_one(6, run.weights.refs()[0], run.gradients.refs()[0]).status().message(),
            "there is no parameter 6; 6 are registered");
  EXPECT_EQ(run.optimizer.measure_one(6, run.gradients.refs()[0]).message(),
            "there is no parameter 6; 6 are registered");
  const auto report = run.optimizer.step_one(0, run.weights.refs()[0], TensorRef{});
  ASSERT_TRUE(report.ok());
  EXPECT_FALSE(report->present);
  EXPECT_EQ(run.optimizer.save().value(), fresh);
}

class MeasureOneTest : public BySteps {};

TEST_P(MeasureOneTest, MeasuringSomeTensorsAheadChangesNothing) {
  for (const DType dtype : {DType::float32, DType::float64}) {
    std::mt19937_64 random(45);
    const ParameterSet parameters = small_model(6);
    Training plain = make(parameters, dtype);
    Training ahead = make(parameters, dtype);
    for (int step = 0; step < 8; ++step) {
      auto gradients = random_gradients(random, parameters);
      if (step == 4) gradients[1][5] = kNaN;
      plain.step(gradients);
      ahead.gradients.set_all(gradients);
      for (std::size_t i = 0; i < parameters.size(); ++i) {
        if (step > 0 && random() % 2 == 0) continue;  // at first all
        ASSERT_TRUE(ahead.optimizer.measure_one(i, ahead.gradients.refs()[i]).ok());
      }
      const auto report = ahead.optimizer.step(ahead.weights.refs(), ahead.gradients.refs());
      ASSERT_TRUE(report.ok());
      expect_same(ahead, plain);
      ASSERT_EQ(ahead.optimizer.save().value(), plain.optimizer.save().value());
    }
  }
}

TEST_P(MeasureOneTest, GradientsElsewhereAreMeasuredAgain) {
  std::mt19937_64 random(46);
  const ParameterSet parameters = small_model(6);
  Training plain = make(parameters, DType::float32);
  Training ahead = make(parameters, DType::float32);
  Gradients other(parameters, DType::float32);
  for (int step = 0; step < 4; ++step) {
    other.set_all(random_gradients(random, parameters));
    for (std::size_t i = 0; i < parameters.size(); ++i)
      ASSERT_TRUE(ahead.optimizer.measure_one(i, other.refs()[i]).ok());
    const auto gradients = random_gradients(random, parameters);
    plain.step(gradients);
    ahead.step(gradients);
    expect_same(ahead, plain);
  }
}

/// What was measured holds for one step: the next one brings other numbers in the same memory.
TEST_P(MeasureOneTest, AMeasurementIsUsedOnce) {
  std::mt19937_64 random(47);
  const ParameterSet parameters = small_model(6);
  Training plain = make(parameters, DType::float32);
  Training ahead = make(parameters, DType::float32);
  for (int step = 0; step < 4; ++step) {
    const auto gradients = random_gradients(random, parameters);
    plain.step(gradients);
    ahead.gradients.set_all(gradients);
    if (step == 0) {
      for (std::size_t i = 0; i < parameters.size(); ++i)
        ASSERT_TRUE(ahead.optimizer.measure_one(i, ahead.gradients.refs()[i]).ok());
    }
    ahead.step(gradients);
    expect_same(ahead, plain);
  }
}

INSTANTIATE_TEST_SUITE_P(All, MeasureOneTest, ::testing::ValuesIn(combinations(all_fronts(), true)), name_of);

/// Counts reads: a step that follows a measurement must not measure again. Shown by changing the memory in
/// between, which a caller must not do.
TEST(MeasureOneTest, TheStepTakesTheNormFromTheMeasurement) {
  const ParameterSet parameters = parameter_set({{"w", {2}}});
  Training run(parameters, DType::float32, SgdOptions{}, clip_by_global_norm(1.0));
  run.gradients.set(0, Values{3, 4});
  ASSERT_TRUE(run.optimizer.measure_one(0, run.gradients.refs()[0]).ok());
  EXPECT_EQ(run.step({{30, 40}}).tensors[0].raw_norm, 5.0);
  EXPECT_EQ(run.step({{30, 40}}).tensors[0].raw_norm, 50.0);
}

TEST(MeasureOneTest, AStepOfOneParameterTakesItToo) {
  const ParameterSet parameters = parameter_set({{"w", {2}}});
  Training run(parameters, DType::float32, SgdOptions{}, stabilize());
  run.gradients.set(0, Values{3, 4});
  ASSERT_TRUE(run.optimizer.measure_one(0, run.gradients.refs()[0]).ok());
  run.gradients.set(0, Values{30, 40});
  EXPECT_EQ(run.optimizer.step_one(0, run.weights.refs()[0], run.gradients.refs()[0])->raw_norm, 5.0);
  EXPECT_EQ(run.optimizer.step_one(0, run.weights.refs()[0], run.gradients.refs()[0])->raw_norm, 50.0);
}

/// After an error the caller repairs the gradient where it lies; the old measurement would be that of the bad
/// one.
TEST(MeasureOneTest, ARaisedStepForgetsWhatWasMeasured) {
  const ParameterSet parameters = parameter_set({{"w", {2}}});
  Training run(parameters, DType::float32, SgdOptions{}, stabilize(),
               {.run = {.nonfinite = NonFinitePolicy::raise}});
  run.gradients.set(0, Values{kNaN, 4});
  ASSERT_TRUE(run.optimizer.measure_one(0, run.gradients.refs()[0]).ok());
  EXPECT_FALSE(run.optimizer.step(run.weights.refs(), run.gradients.refs()).ok());
  EXPECT_EQ(run.step({{3, 4}}).tensors[0].raw_norm, 5.0);
}

TEST(MeasureOneTest, ASkippedStepForgetsWhatWasMeasured) {
  const ParameterSet parameters = parameter_set({{"w", {2}}});
  Training run(parameters, DType::float32, SgdOptions{}, stabilize(),
               {.run = {.nonfinite = NonFinitePolicy::skip_step}});
  run.gradients.set(0, Values{kNaN, 4});
  ASSERT_TRUE(run.optimizer.measure_one(0, run.gradients.refs()[0]).ok());
  EXPECT_TRUE(run.optimizer.step(run.weights.refs(), run.gradients.refs())->skip_step);
  EXPECT_EQ(run.step({{3, 4}}).tensors[0].raw_norm, 5.0);
}

TEST(MeasureOneTest, BadGradientsAreRefused) {
  Training run(parameter_set({{"w", {2, 3}}}), DType::float32, AdamOptions{}, stabilize());
  const std::vector<std::int64_t> wrong = {3, 2};
  TensorRef gradient = run.gradients.refs()[0];
  gradient.sizes = wrong;
  EXPECT_EQ(run.optimizer.measure_one(0, gradient).message(),
            "gradient of 'w' has shape [3, 2], expected [2, 3]");
  EXPECT_TRUE(run.optimizer.measure_one(0, TensorRef{}).ok()) << "no gradient: nothing to measure";
  EXPECT_EQ(run.step({{1, 0, 0, 0, 0, 0}}).tensors[0].raw_norm, 1.0);
}

}  // namespace
}  // namespace gradstab::testing
