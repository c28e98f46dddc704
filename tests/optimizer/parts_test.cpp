// Steps in two parts, for parameters of which every process has a part.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "gradstab/transforms.hpp"
#include "optimizer/kinds.hpp"
#include "optimizer/training.hpp"

namespace gradstab::testing {
namespace {

using ::testing::HasSubstr;

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

struct Front {
  const char* name;
  std::optional<GradientTransform> (*make)();
};

const std::vector<Front>& fronts() {
  static const std::vector<Front> all = {
      {"nothing", [] { return std::optional<GradientTransform>(); }},
      {"stabilize", [] { return std::optional(stabilize()); }},
      {"chain", [] { return std::optional(chain(clip_by_global_norm(2.0), stabilize())); }},
  };
  return all;
}

std::vector<Kind> kinds() {
  std::vector<Kind> result = all_kinds();
  std::erase_if(result,
                [](const Kind& kind) { return std::holds_alternative<AdamMiniOptions>(kind.options); });
  return result;
}

/// The decision of each process on sums over all of them.
void share(std::span<Training* const> processes) {
  const std::size_t count = processes.front()->parameters.size();
  for (std::size_t t = 0; t < count; ++t) {
    double sum = 0.0;
    bool present = false;
    for (Training* process : processes) {
      sum += process->optimizer.squared_norms()[t];
      present = present || process->gradients.refs()[t].data != nullptr;
    }
    for (Training* process : processes) process->optimizer.squared_norms()[t] = present ? sum : kNoGradient;
  }
}

StepReport step_together(std::span<Training* const> processes) {
  for (Training* process : processes)
    process->optimizer.measure(process->weights.refs(), process->gradients.refs()).check();
  share(processes);
  StepReport last;
  for (Training* process : processes) last = process->optimizer.finish().value();
  return last;
}

/// Of every tensor the first half of the elements, or the rest.
std::vector<Values> piece(const std::vector<Values>& whole, std::size_t process) {
  std::vector<Values> result;
  for (const Values& values : whole) {
    const auto middle = values.begin() + static_cast<std::ptrdiff_t>((values.size() + 1) / 2);
    result.push_back(process == 0 ? Values(values.begin(), middle) : Values(middle, values.end()));
  }
  return result;
}

/// The last tensor, of one element, is empty in the second process.
ParameterSet pieces_of(const ParameterSet& whole, std::size_t process) {
  std::vector<Parameter> parts;
  for (const Parameter& parameter : whole) {
    const std::int64_t count = element_count(parameter.sizes);
    parts.push_back({parameter.name, {process == 0 ? (count + 1) / 2 : count / 2}});
  }
  return ParameterSet::create(std::move(parts)).value();
}

class PartsTest : public ::testing::TestWithParam<Kind> {};

TEST_P(PartsTest, OfASingleProcessTheyMakeTheStepBitForBit) {
  for (const Front& front : fronts()) {
    for (const auto policy :
         {NonFinitePolicy::skip_tensor, NonFinitePolicy::skip_step, NonFinitePolicy::pass_through}) {
      const OptimizerRunOptions run{.run = {.nonfinite = policy}};
      const ParameterSet parameters = small_model();
      Training whole(parameters, DType::float32, GetParam().options, front.make(), run);
      Training halves(parameters, DType::float32, GetParam().options, front.make(), run);
      std::mt19937_64 random(71);
      Training* const alone[] = {&halves};
      for (int step = 0; step < 8; ++step) {
        auto gradients = random_gradients(random, parameters);
        if (step == 5 && policy != NonFinitePolicy::pass_through) gradients[1][3] = kNaN;
        for (Training* each : {&whole, &halves}) {
          each->gradients.set_all(gradients);
          if (step == 3) each->gradients.set_absent(2);
        }
        const StepReport expected =
            whole.optimizer.step(whole.weights.refs(), whole.gradients.refs()).value();
        const StepReport report = step_together(alone);
        EXPECT_EQ(report.skip_step, expected.skip_step);
        EXPECT_EQ(report.nonfinite, expected.nonfinite);
        ASSERT_EQ(halves.weight_bytes(), whole.weight_bytes()) << front.name << ", step " << step;
      }
      EXPECT_EQ(halves.optimizer.save().value(), whole.optimizer.save().value());
    }
  }
}

TEST_P(PartsTest, OfTwoProcessesTheyMakeTheStepOfTheWhole) {
  for (const Front& front : fronts()) {
    const ParameterSet parameters = small_model();
    Training whole(parameters, DType::float32, GetParam().options, front.make());
    Training first(pieces_of(parameters, 0), DType::float32, GetParam().options, front.make());
    Training second(pieces_of(parameters, 1), DType::float32, GetParam().options, front.make());
    first.weights.set_all(piece(whole.weights.values(), 0));
    second.weights.set_all(piece(whole.weights.values(), 1));
    Training* const processes[] = {&first, &second};
    std::mt19937_64 random(72);
    for (int step = 0; step < 8; ++step) {
      // Whose squares add up exactly in any order.
      auto gradients = exact_gradients(random, parameters);
      if (step == 5) gradients[1].back() = kNaN;  // which the first process does not see
      whole.gradients.set_all(gradients);
      first.gradients.set_all(piece(gradients, 0));
      second.gradients.set_all(piece(gradients, 1));
      second.gradients.set_absent(5);
      if (step == 3) {
        for (Training* each : {&whole, &first, &second}) each->gradients.set_absent(2);
      }
      whole.optimizer.step(whole.weights.refs(), whole.gradients.refs()).value();
      step_together(processes);
      ASSERT_EQ(first.weights.values(), piece(whole.weights.values(), 0)) << front.name << ", step " << step;
      ASSERT_EQ(second.weights.values(), piece(whole.weights.values(), 1)) << front.name << ", step " << step;
    }
    const auto moments = [](const Training& run) {
      std::vector<double> all;
      for (const MethodState& method : run.optimizer.transform_state())
        for (const StateField& field : method.fields)
          all.insert(all.end(), field.values.begin(), field.values.end());
      return all;
    };
    EXPECT_EQ(moments(first), moments(whole));
    EXPECT_EQ(moments(second), moments(whole));
  }
}

INSTANTIATE_TEST_SUITE_P(Kinds, PartsTest, ::testing::ValuesIn(kinds()),
                         [](const auto& test) { return test.param.name; });

/// Negative control of the test above.
TEST(Parts, APartByItselfIsUpdatedOtherwise) {
  const ParameterSet parameters = small_model();
  Training whole(parameters, DType::float32, kind("sgd"), stabilize());
  Training first(pieces_of(parameters, 0), DType::float32, kind("sgd"), stabilize());
  first.weights.set_all(piece(whole.weights.values(), 0));
  std::mt19937_64 random(73);
  const auto gradients = exact_gradients(random, parameters);
  whole.step(gradients);
  first.step(piece(gradients, 0));
  EXPECT_NE(first.weights.values(), piece(whole.weights.values(), 0));
}

TEST(Parts, WhatIsPresentElsewhereIsDecidedOnAndItsStateStaysHere) {
  const ParameterSet parameters = small_model();
  Training run(parameters, DType::float32, AdamOptions::adamw(), stabilize());
  std::mt19937_64 random(74);
  run.gradients.set_all(random_gradients(random, parameters));
  run.gradients.set_absent(0);
  run.gradients.set_absent(1);
  const Values before = run.weights.values()[0];
  run.optimizer.measure(run.weights.refs(), run.gradients.refs()).check();
  EXPECT_EQ(run.optimizer.squared_norms()[0], 0.0);
  run.optimizer.squared_norms()[0] = 9.0;
  run.optimizer.squared_norms()[1] = kNoGradient;
  const StepReport report = run.optimizer.finish().value();
  EXPECT_TRUE(report.tensors[0].present);
  EXPECT_EQ(report.tensors[0].raw_norm, 3.0);
  EXPECT_FALSE(report.tensors[1].present);
  EXPECT_EQ(run.weights.values()[0], before);
  EXPECT_EQ(run.optimizer.parameter_state(0)->step, 0);
  EXPECT_EQ(run.optimizer.parameter_state(2)->step, 1);
  EXPECT_EQ(run.optimizer.transform_state()[0].fields[0].values[1], 0.0);
  EXPECT_GT(run.optimizer.transform_state()[0].fields[0].values[0], 0.0);
}

TEST(Parts, WhatNeedsMoreThanNormsIsRefused) {
  const auto refused = [](OptimizerOptions options, GradientTransform transform) {
    Training run(small_model(), DType::float32, std::move(options), std::move(transform));
    const Status status = run.optimizer.measure(run.weights.refs(), run.gradients.refs());
    EXPECT_EQ(status.code(), StatusCode::unsupported);
    return status.message();
  };
  EXPECT_THAT(refused(AdamOptions(), clip_by_value(1.0)),
              HasSubstr("'clip_by_value' needs more than the norms"));
  EXPECT_THAT(refused(AdamOptions(), stabilize({}, Units::per_row())),
              HasSubstr("'stabilize' per row needs more"));
  EXPECT_THAT(refused(AdamOptions(), clip_by_global_norm({.max_norm = 1.0, .p = 1.0})),
              HasSubstr("'clip_by_global_norm' needs more"));
  EXPECT_THAT(refused(kind("adam_mini"), stabilize()), HasSubstr("Adam-mini has a second moment per unit"));
}

TEST(Parts, FinishFollowsAMeasurementAndNothingElse) {
  Training run(small_model(), DType::float32, AdamOptions(), stabilize());
  std::mt19937_64 random(75);
  run.gradients.set_all(random_gradients(random, run.parameters));
  const auto refused = [&] {
    const auto report = run.optimizer.finish();
    EXPECT_EQ(report.status().code(), StatusCode::failed_precondition);
    EXPECT_THAT(report.status().message(), HasSubstr("finish was called without a measure"));
  };
  const auto measure = [&] { run.optimizer.measure(run.weights.refs(), run.gradients.refs()).check(); };
  const auto state = run.optimizer.save().value();
  refused();
  measure();
  run.optimizer.set_lr(1e-2).check();  // which may come in between
  run.optimizer.finish().value();
  refused();
  measure();
  run.optimizer.step(run.weights.refs(), run.gradients.refs()).value();
  refused();
  measure();
  run.optimizer.step_one(0, run.weights.refs()[0], run.gradients.refs()[0]).value();
  refused();
  measure();
  run.optimizer.measure_one(0, run.gradients.refs()[0]).check();
  refused();
  measure();
  run.optimizer.load(state).check();
  refused();
  measure();
  run.optimizer.rebind(run.parameters).check();
  refused();
  measure();
  EXPECT_EQ(run.optimizer.measure(run.weights.refs(), {}).code(), StatusCode::shape_mismatch);
  refused();
  Optimizer fresh{OptimizerOptions()};
  EXPECT_THAT(fresh.measure({}, {}).message(), HasSubstr("before a successful init"));
  EXPECT_THAT(fresh.finish().status().message(), HasSubstr("before a successful init"));
}

/// An error between measure and the end of a step must not leave norms behind for the next one.
TEST(Parts, ARaisedStepLeavesNothingBehind) {
  OptimizerRunOptions run{.run = {.nonfinite = NonFinitePolicy::raise}};
  Training given(small_model(), DType::float32, AdamOptions(), stabilize(), run);
  Training plain(small_model(), DType::float32, AdamOptions(), stabilize(), run);
  std::mt19937_64 random(76);
  const auto gradients = random_gradients(random, given.parameters);
  given.gradients.set_all(gradients);
  given.optimizer.measure(given.weights.refs(), given.gradients.refs()).check();
  given.optimizer.squared_norms()[2] = kNaN;
  const auto raised = given.optimizer.finish();
  EXPECT_EQ(raised.status().code(), StatusCode::non_finite);
  EXPECT_THAT(raised.status().message(), HasSubstr(given.parameters[2].name));
  EXPECT_EQ(given.weight_bytes(), plain.weight_bytes());
  given.step(gradients);
  plain.step(gradients);
  EXPECT_EQ(given.weight_bytes(), plain.weight_bytes());
  EXPECT_EQ(given.optimizer.save().value(), plain.optimizer.save().value());
}

}  // namespace
}  // namespace gradstab::testing
