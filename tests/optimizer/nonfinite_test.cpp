// NaN and infinity in gradients, under every policy.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "gradstab/transforms.hpp"
#include "optimizer/kinds.hpp"
#include "optimizer/training.hpp"

namespace gradstab::testing {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
constexpr double kInfinity = std::numeric_limits<double>::infinity();

struct Fixture {
  Kind kind;
  double bad;
  DType dtype;
  bool stabilized;

  friend std::ostream& operator<<(std::ostream& out, const Fixture& f) {
    return out << f.kind << ", " << f.bad << ", " << to_string(f.dtype)
               << (f.stabilized ? ", stabilized" : "");
  }
};

std::vector<Fixture> fixtures() {
  std::vector<Fixture> result;
  for (const Kind& kind : all_kinds())
    for (const double bad : {kNaN, -kInfinity})
      for (const DType dtype : {DType::float32, DType::float64, DType::bfloat16})
        for (const bool stabilized : {false, true}) result.push_back({kind, bad, dtype, stabilized});
  return result;
}

class NonFiniteTest : public ::testing::TestWithParam<Fixture> {
 protected:
  Training training(NonFinitePolicy policy) const {
    std::optional<GradientTransform> transform;
    if (GetParam().stabilized) transform = stabilize();
    return Training(parameters_, GetParam().dtype, GetParam().kind.options, std::move(transform),
                    {.run = {.nonfinite = policy}});
  }
  /// Gradients of which `layers.0.mlp.weight` and `scale` hold one bad element.
  std::vector<Values> bad_gradients() {
    auto gradients = random_gradients(random_, parameters_);
    gradients[2][17] = GetParam().bad;
    gradients[5][0] = GetParam().bad;
    return gradients;
  }
  bool all_finite(const Training& run) const {
    for (std::size_t i = 0; i < parameters_.size(); ++i) {
      const auto state = run.optimizer.parameter_state(i).value();
      for (const Values& values : state.values)
        for (const double value : values)
          if (!std::isfinite(value)) return false;
      for (const double value : run.weights.values(i))
        if (!std::isfinite(value)) return false;
    }
    return true;
  }

  const ParameterSet parameters_ = small_model(6);
  std::mt19937_64 random_{41};
};

TEST_P(NonFiniteTest, SkipTensorReadsItAsZero) {
  Training run = training(NonFinitePolicy::skip_tensor);
  Training zeros = training(NonFinitePolicy::skip_tensor);
  for (int step = 0; step < 6; ++step) {
    auto gradients = step % 2 == 1 ? bad_gradients() : random_gradients(random_, parameters_);
    const StepReport report = run.step(gradients);
    if (step % 2 == 1) {
      EXPECT_EQ(report.nonfinite, 2u);
      EXPECT_TRUE(report.tensors[2].zeroed);
      EXPECT_FALSE(report.tensors[5].finite);
      EXPECT_FALSE(report.tensors[0].zeroed);
      EXPECT_FALSE(report.skip_step);
      std::ranges::fill(gradients[2], 0.0);
      std::ranges::fill(gradients[5], 0.0);
    }
    zeros.step(gradients);
    ASSERT_TRUE(all_finite(run));
    ASSERT_EQ(run.weight_bytes(), zeros.weight_bytes());
    for (std::size_t i = 0; i < parameters_.size(); ++i) {
      ASSERT_EQ(run.optimizer.parameter_state(i)->values, zeros.optimizer.parameter_state(i)->values);
      ASSERT_EQ(run.optimizer.parameter_state(i)->step, step + 1);
    }
  }
}

TEST_P(NonFiniteTest, SkipStepAndRaiseLeaveEverythingAsItWas) {
  for (const auto policy : {NonFinitePolicy::skip_step, NonFinitePolicy::raise}) {
    for (const int good_steps : {0, 3}) {
      SCOPED_TRACE(::testing::Message() << static_cast<int>(policy) << " after " << good_steps << " steps");
      Training run = training(policy);
      for (int step = 0; step < good_steps; ++step) run.step(random_gradients(random_, parameters_));
      const auto weights = run.weight_bytes();
      const auto state = run.optimizer.save().value();
      const auto bad = bad_gradients();
      run.gradients.set_all(bad);
      const auto report = run.optimizer.step(run.weights.refs(), run.gradients.refs());
      if (policy == NonFinitePolicy::raise) {
        EXPECT_EQ(report.status().code(), StatusCode::non_finite);
        EXPECT_EQ(report.status().message(), "gradient holds NaN or Inf: 'layers.0.mlp.weight', 'scale'");
      } else {
        ASSERT_TRUE(report.ok());
        EXPECT_TRUE(report->skip_step);
        EXPECT_EQ(report->nonfinite, 2u);
        EXPECT_EQ(report->step, good_steps);
      }
      EXPECT_EQ(run.weight_bytes(), weights);
      EXPECT_EQ(run.optimizer.save().value(), state);
      EXPECT_TRUE(std::isnan(run.gradients.values(2)[17]) || std::isinf(run.gradients.values(2)[17]));

      // The next step goes on as if the bad one had not been.
      Training other = training(policy);
      ASSERT_TRUE(other.optimizer.load(state).ok());
      for (std::size_t i = 0; i < parameters_.size(); ++i) other.weights.set(i, run.weights.values(i));
      const auto gradients = random_gradients(random_, parameters_);
      run.step(gradients);
      if (GetParam().dtype != DType::bfloat16 || good_steps > 0) {
        other.step(gradients);
        EXPECT_EQ(run.weight_bytes(), other.weight_bytes());
      }
      EXPECT_EQ(run.optimizer.parameter_state(0)->step, good_steps + 1);
    }
  }
}

TEST_P(NonFiniteTest, PassThroughLetsItReachItsOwnElementsOnly) {
  Training run = training(NonFinitePolicy::pass_through);
  Training clean = training(NonFinitePolicy::pass_through);
  auto gradients = random_gradients(random_, parameters_);
  clean.step(gradients);
  gradients[2][17] = GetParam().bad;
  run.step(gradients);
  EXPECT_FALSE(all_finite(run));
  for (const std::size_t other : {0u, 1u, 3u, 4u, 5u})
    EXPECT_EQ(run.weights.bytes(other), clean.weights.bytes(other)) << "parameter " << other;
}

std::string name_of(const ::testing::TestParamInfo<Fixture>& test) {
  const Fixture& f = test.param;
  return f.kind.name +
         (std::isnan(f.bad) ? "_nan_"
          : f.bad > 0       ? "_inf_"
                            : "_minus_inf_") +
         std::string(to_string(f.dtype)) + (f.stabilized ? "_stabilized" : "");
}
INSTANTIATE_TEST_SUITE_P(All, NonFiniteTest, ::testing::ValuesIn(fixtures()), name_of);

/// A master copy taken in a step that was not made would bring old weights back.
TEST(NonFiniteOptimizerTest, ASkippedFirstStepTakesNoMasterCopy) {
  const ParameterSet parameters = parameter_set({{"w", {2}}});
  Training run(parameters, DType::bfloat16, SgdOptions{.lr = 0.5}, {},
               {.run = {.nonfinite = NonFinitePolicy::skip_step}});
  run.weights.set(0, Values{1, 1});
  EXPECT_TRUE(run.step({{kNaN, 1}}).skip_step);
  run.weights.set(0, Values{8, 8});  // weights loaded from elsewhere
  run.step({{1, 2}});
  EXPECT_EQ(run.weights.values(0), (Values{7.5, 7}));
}

TEST(NonFiniteOptimizerTest, UnderPassThroughWithoutTransformNothingIsMeasured) {
  const ParameterSet parameters = parameter_set({{"w", {2}}});
  Training run(parameters, DType::float32, SgdOptions{.lr = 1}, {},
               {.run = {.nonfinite = NonFinitePolicy::pass_through}});
  run.weights.set(0, Values{0, 0});
  const StepReport report = run.step({{3, 4}});
  EXPECT_TRUE(report.tensors[0].present);
  EXPECT_EQ(report.tensors[0].raw_norm, 0.0);
  EXPECT_EQ(run.weights.values(0), (Values{-3, -4}));
}

TEST(NonFiniteOptimizerTest, ClippingUnderPassThroughSpreadsNaNAsPyTorchDoes) {
  const ParameterSet parameters = parameter_set({{"a", {2}}, {"b", {2}}});
  Training run(parameters, DType::float32, SgdOptions{.lr = 1}, clip_by_global_norm(1.0),
               {.run = {.nonfinite = NonFinitePolicy::pass_through}});
  run.step({{kNaN, 1}, {1, 1}});
  for (std::size_t i = 0; i < 2; ++i)
    for (const double value : run.weights.values(i)) EXPECT_TRUE(std::isnan(value));

  Training infinite(parameters, DType::float32, SgdOptions{.lr = 1}, clip_by_global_norm(1.0),
                    {.run = {.nonfinite = NonFinitePolicy::pass_through}});
  const auto before = infinite.weights.values();
  infinite.step({{kInfinity, 1}, {1, 1}});  // the factor is 0; infinity times 0 is NaN
  EXPECT_TRUE(std::isnan(infinite.weights.values(0)[0]));
  EXPECT_EQ(infinite.weights.values(0)[1], before[0][1]);
  EXPECT_EQ(infinite.weights.values(1), before[1]);
}

}  // namespace
}  // namespace gradstab::testing
