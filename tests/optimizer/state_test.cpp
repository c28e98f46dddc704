// Saving and loading an optimizer.
#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>

#include "core/base/state_codec.hpp"
#include "gradstab/transforms.hpp"
#include "optimizer/kinds.hpp"
#include "optimizer/training.hpp"

namespace gradstab::testing {
namespace {

using Bytes = std::vector<std::byte>;

class OptimizerStateTest : public ::testing::TestWithParam<Kind> {};

/// Gradients of one training, in the order of another over the same names.
std::vector<Values> reordered(const std::vector<Values>& values, const ParameterSet& from,
                              const ParameterSet& to) {
  std::vector<Values> result;
  for (const Parameter& parameter : to)
    result.push_back(values[static_cast<std::size_t>(from.find(parameter.name))]);
  return result;
}

TEST_P(OptimizerStateTest, AFreshOptimizerContinuesBitForBitInAnyOrderOfParameters) {
  struct Case {
    DType dtype;
    OptimizerRunOptions run;
  };
  for (const Case& c : {Case{DType::float32, {}}, Case{DType::float64, {}}, Case{DType::bfloat16, {}}}) {
    SCOPED_TRACE(to_string(c.dtype));
    std::mt19937_64 random(51);
    const ParameterSet parameters = small_model(6);
    std::vector<Parameter> list(parameters.begin(), parameters.end());
    std::ranges::shuffle(list, random);
    const ParameterSet other_order = parameter_set(list);
    Training whole(parameters, c.dtype, GetParam().options, stabilize(), c.run);
    Training same(parameters, c.dtype, GetParam().options, stabilize(), c.run);
    Training shuffled(other_order, c.dtype, GetParam().options, stabilize(), c.run);
    for (int step = 0; step < 5; ++step) {
      whole.gradients.set_all(random_gradients(random, parameters));
      whole.gradients.set_absent(2);  // never stepped: its state stays empty
      ASSERT_TRUE(whole.optimizer.step(whole.weights.refs(), whole.gradients.refs()).ok());
    }
    const Bytes saved = whole.optimizer.save().value();
    ASSERT_TRUE(same.optimizer.load(saved).ok());
    ASSERT_TRUE(shuffled.optimizer.load(saved).ok());
    EXPECT_EQ(same.optimizer.save().value(), saved);
    same.weights.set_all(whole.weights.values());
    shuffled.weights.set_all(reordered(whole.weights.values(), parameters, other_order));
    for (int step = 0; step < 5; ++step) {
      const auto gradients = random_gradients(random, parameters);
      whole.step(gradients);
      same.step(gradients);
      shuffled.step(reordered(gradients, parameters, other_order));
      ASSERT_EQ(same.weights.values(), whole.weights.values());
      ASSERT_EQ(shuffled.weights.values(), reordered(whole.weights.values(), parameters, other_order));
    }
    EXPECT_EQ(same.optimizer.save().value(), whole.optimizer.save().value());
    // Negative control: without the state the run goes elsewhere.
    Training without(parameters, c.dtype, GetParam().options, stabilize(), c.run);
    without.weights.set_all(whole.weights.values());
    const auto gradients = random_gradients(random, parameters);
    whole.step(gradients);
    without.step(gradients);
    EXPECT_NE(without.weights.values(), whole.weights.values());
  }
}

TEST_P(OptimizerStateTest, StochasticRoundingContinuesWithTheSameNumbers) {
  const OptimizerRunOptions run{.low_precision = LowPrecision::stochastic_rounding, .seed = 4};
  std::mt19937_64 random(52);
  const ParameterSet parameters = small_model(6);
  Training whole(parameters, DType::bfloat16, GetParam().options, stabilize(), run);
  Training second(parameters, DType::bfloat16, GetParam().options, stabilize(), run);
  for (int step = 0; step < 4; ++step) whole.step(random_gradients(random, parameters));
  ASSERT_TRUE(second.optimizer.load(whole.optimizer.save().value()).ok());
  second.weights.set_all(whole.weights.values());
  for (int step = 0; step < 4; ++step) {
    const auto gradients = random_gradients(random, parameters);
    whole.step(gradients);
    second.step(gradients);
    ASSERT_EQ(second.weight_bytes(), whole.weight_bytes());
  }
}

/// A small optimizer that has made some steps, and its state.
struct Trained {
  explicit Trained(OptimizerOptions options, std::optional<GradientTransform> transform = stabilize(),
                   std::vector<Parameter> list = {{"a", {2}}, {"b.bias", {1}}})
      : run(parameter_set(std::move(list)), DType::float32, std::move(options), std::move(transform)) {
    std::mt19937_64 random(53);
    for (int step = 0; step < 3; ++step) run.step(random_gradients(random, run.parameters));
    state = run.optimizer.save().value();
  }
  /// Loads what must be refused; the state must stay.
  Status refuse(std::span<const std::byte> bytes) {
    Status status = run.optimizer.load(bytes);
    EXPECT_FALSE(status.ok());
    EXPECT_TRUE(run.optimizer.save().value() == state) << "a refused state must change nothing";
    return status;
  }
  Training run;
  Bytes state;
};

TEST_P(OptimizerStateTest, TruncatedAtEveryLengthAndPaddedStatesAreRefused) {
  Trained here(GetParam().options);
  Trained other(GetParam().options);
  for (std::size_t length = 0; length < here.state.size(); ++length) {
    const Status status = here.refuse(std::span(here.state).first(length));
    ASSERT_EQ(status.code(), StatusCode::corrupt_data) << length;
  }
  Bytes padded = here.state;
  padded.push_back(std::byte{0});
  EXPECT_EQ(here.refuse(padded).code(), StatusCode::corrupt_data);
}

/// As after the length and the checksum were put right: every field must hold by itself.
TEST_P(OptimizerStateTest, TruncatedPayloadsWithARightChecksumAreRefused) {
  Trained here(GetParam().options);
  const Bytes payload(here.state.begin() + 24, here.state.end());
  for (std::size_t length = 0; length < payload.size(); ++length) {
    const Status status = here.refuse(wrap_state(std::span(payload).first(length)));
    ASSERT_EQ(status.code(), StatusCode::corrupt_data) << length << ": " << status.message();
  }
  Bytes padded = payload;
  padded.push_back(std::byte{0});
  EXPECT_EQ(here.refuse(wrap_state(padded)).message(), "state has a length that does not fit its content");
}

TEST_P(OptimizerStateTest, EveryFlippedBitIsRefused) {
  Trained here(GetParam().options);
  for (std::size_t bit = 0; bit < here.state.size() * 8; ++bit) {
    Bytes damaged = here.state;
    damaged[bit / 8] ^= std::byte{1} << (bit % 8);
    ASSERT_FALSE(here.run.optimizer.load(damaged).ok()) << "bit " << bit;
  }
  EXPECT_TRUE(here.run.optimizer.save().value() == here.state);
}

/// Damage that the checksum does not see: what is accepted must be a state, what is refused must change
/// nothing, and nothing may ask for more memory than there are bytes (which the sanitizers would show as
/// well).
TEST_P(OptimizerStateTest, AbsurdNumbersWithARightChecksumAreRefusedOrHarmless) {
  Trained here(GetParam().options);
  const Bytes payload(here.state.begin() + 24, here.state.end());
  int refused = 0;
  for (std::size_t at = 0; at < payload.size(); ++at) {
    for (const unsigned value : {0xFFu, 0x7Fu, 0x00u, 0x80u}) {
      for (const std::size_t width : {std::size_t{1}, std::size_t{4}, std::size_t{8}}) {
        Bytes absurd = payload;
        for (std::size_t i = at; i < std::min(at + width, absurd.size()); ++i) absurd[i] = std::byte(value);
        const Status status = here.run.optimizer.load(wrap_state(absurd));
        if (status.ok()) {
          // Numbers inside the arrays, or a step count: it must be able to go on.
          std::mt19937_64 random(54);
          here.run.step(random_gradients(random, here.run.parameters));
          ASSERT_TRUE(here.run.optimizer.load(here.state).ok());
        } else {
          ++refused;
          ASSERT_TRUE(here.run.optimizer.save().value() == here.state) << at;
        }
      }
    }
  }
  EXPECT_GT(refused, 1000);
}

INSTANTIATE_TEST_SUITE_P(All, OptimizerStateTest, ::testing::ValuesIn(all_kinds()),
                         [](const auto& test) { return test.param.name; });

TEST(OptimizerStateErrorTest, AnotherKindIsRefused) {
  Trained here(AdamOptions{});
  const Status status = here.refuse(Trained(LionOptions{}).state);
  EXPECT_EQ(status.code(), StatusCode::shape_mismatch);
  EXPECT_EQ(status.message(), "saved state is of 'lion', expected 'adam'");
  EXPECT_EQ(here.refuse(Trained(AdamOptions::adamw()).state).message(),
            "saved state is of 'adamw', expected 'adam'");
}

TEST(OptimizerStateErrorTest, OtherNamesAndShapesAreNamed) {
  Trained here(AdamOptions{});
  const auto other = [](std::vector<Parameter> list) {
    return Trained(AdamOptions{}, stabilize(), std::move(list)).state;
  };
  const auto expect = [&](std::vector<Parameter> list, const std::string& message) {
    const Status status = here.refuse(other(std::move(list)));
    EXPECT_EQ(status.code(), StatusCode::shape_mismatch);
    EXPECT_EQ(status.message(), message);
  };
  expect({{"a", {2}}, {"c", {1}}}, "saved state has a parameter 'c' that is not registered here");
  expect({{"a", {2}}}, "saved state has no parameter 'b.bias'");
  expect({{"a", {2}}, {"b.bias", {1}}, {"c", {1}}},
         "saved state has a parameter 'c' that is not registered here");
  expect({{"a", {3}}, {"b.bias", {1}}}, "parameter 'a' has shape [2] here but [3] in the saved state");
  expect({{"a", {2, 1}}, {"b.bias", {1}}}, "parameter 'a' has shape [2] here but [2, 1] in the saved state");
}

TEST(OptimizerStateErrorTest, AnotherTransformIsRefused) {
  Trained here(AdamOptions{});
  EXPECT_EQ(here.refuse(Trained(AdamOptions{}, clip_by_global_norm(1.0)).state).message(),
            "saved state is of 'clip_by_global_norm', expected 'stabilize'");
  EXPECT_EQ(here.refuse(Trained(AdamOptions{}, std::nullopt).state).message(),
            "saved state has 0 methods, this transform has 1");
  EXPECT_EQ(here.refuse(Trained(AdamOptions{}, stabilize({.gamma1 = 0.5})).state).message(),
            "stabilize has gamma1 = 0.6 here but gamma1 = 0.5 in the saved state");
}

TEST(OptimizerStateErrorTest, StateOfATransformAndOfAnOptimizerAreNotTakenForEachOther) {
  Trained here(AdamOptions{});
  GradientTransform transform = stabilize();
  ASSERT_TRUE(transform.init(here.run.parameters).ok());
  const Bytes of_transform = transform.save().value();
  EXPECT_EQ(here.refuse(of_transform).message(),
            "the state is that of a gradient transform, expected one of an optimizer");
  EXPECT_FALSE(transform.load(here.state).ok());
  EXPECT_EQ(transform.save().value(), of_transform);
}

TEST(OptimizerStateErrorTest, SettingsThatChangeTheArraysAreNamed) {
  const std::string tail = "; momentum, amsgrad and the units of adam_mini must be those of the saved run";
  Trained adam(AdamOptions{});
  Trained amsgrad(AdamOptions{.amsgrad = true});
  EXPECT_EQ(adam.refuse(amsgrad.state).message(), "state of 'a' has an array of 8 bytes, expected 0" + tail);
  const Status status = amsgrad.refuse(adam.state);
  EXPECT_EQ(status.code(), StatusCode::shape_mismatch);
  EXPECT_EQ(status.message(), "state of 'a' has an array of 0 bytes, expected 8" + tail);
  Trained sgd(SgdOptions{});
  EXPECT_EQ(sgd.refuse(Trained(SgdOptions{.momentum = 0.9}).state).message(),
            "state of 'a' has an array of 8 bytes, expected 0" + tail);
  AdamMiniOptions mini;
  const std::vector<Parameter> matrix = {{"mlp", {2, 3}}};
  Trained rows(mini, {}, matrix);
  mini.overrides = {{"mlp", AdamMiniUnit::tensor}};
  Trained whole(mini, {}, matrix);
  EXPECT_EQ(rows.refuse(whole.state).message(),
            "state of 'mlp' has 1 units, expected 2; adam_mini divides it otherwise here");
}

TEST(OptimizerStateErrorTest, AnotherDTypeIsRefusedByTheNextStep) {
  Trained here(AdamOptions{});
  Training wide(here.run.parameters, DType::float64, AdamOptions{}, stabilize());
  ASSERT_TRUE(wide.optimizer.load(here.state).ok()) << "which dtype it will be is not known yet";
  wide.gradients.set_all({{1, 1}, {1}});
  EXPECT_EQ(wide.optimizer.step(wide.weights.refs(), wide.gradients.refs()).status().message(),
            "parameter 'a' is float64, but its state is of float32");
  Training master(here.run.parameters, DType::bfloat16, AdamOptions{}, stabilize());
  master.step({{1, 1}, {1}});
  Training random(here.run.parameters, DType::bfloat16, AdamOptions{}, stabilize(),
                  {.low_precision = LowPrecision::stochastic_rounding});
  ASSERT_TRUE(random.optimizer.load(master.optimizer.save().value()).ok());
  random.gradients.set_all({{1, 1}, {1}});
  EXPECT_EQ(
      random.optimizer.step(random.weights.refs(), random.gradients.refs()).status().message(),
      "parameter 'a' is bfloat16 with stochastic rounding, but its state is of bfloat16 with a master copy");
}

TEST(OptimizerStateErrorTest, AStateIsNotTakenTwiceUnderOneName) {
  // Two parameters of the same shape, of which the saved list names one twice.
  Trained here(SgdOptions{}, std::nullopt, {{"aa", {2}}, {"ab", {2}}});
  Bytes payload(here.state.begin() + 24, here.state.end());
  const auto name = {std::byte{'a'}, std::byte{'b'}};
  const auto last = std::find_end(payload.begin(), payload.end(), name.begin(), name.end());
  ASSERT_NE(last, payload.end());
  *(last + 1) = std::byte{'a'};
  EXPECT_EQ(here.refuse(wrap_state(payload)).message(),
            "saved state has a parameter 'aa' that is listed twice");
}

TEST(OptimizerStateTest, AfterARollbackStepNumbersMayStartAgainFromTheCheckpoint) {
  Training run(parameter_set({{"w", {1}}}), DType::float32, AdamOptions{}, stabilize());
  run.gradients.set(0, Values{1});
  const auto step = [&](std::int64_t number) {
    return run.optimizer.step(run.weights.refs(), run.gradients.refs(), number).ok();
  };
  EXPECT_TRUE(step(4));
  EXPECT_FALSE(step(4));
  const Bytes saved = run.optimizer.save().value();
  EXPECT_TRUE(step(5));
  ASSERT_TRUE(run.optimizer.load(saved).ok());
  EXPECT_TRUE(step(5));
}

TEST(OptimizerStateTest, AStepNumberGivenTwiceChangesNothing) {
  Training run(parameter_set({{"w", {1}}}), DType::float32, AdamOptions{}, stabilize());
  run.gradients.set(0, Values{1});
  ASSERT_TRUE(run.optimizer.step(run.weights.refs(), run.gradients.refs(), 1).ok());
  const Bytes saved = run.optimizer.save().value();
  const auto weights = run.weight_bytes();
  EXPECT_EQ(run.optimizer.step(run.weights.refs(), run.gradients.refs(), 1).status().message(),
            "update was called for step 1 after step 1; each step may transform its gradients once");
  EXPECT_EQ(run.optimizer.save().value(), saved);
  EXPECT_EQ(run.weight_bytes(), weights);
}

}  // namespace
}  // namespace gradstab::testing
