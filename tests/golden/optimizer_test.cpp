// stabilize in front of AdamW and SGD, in double, against whole trajectories.
//
// The update rules stand here in their plainest form; the LibTorch adaptor's tests run the real optimizers.
#include <gtest/gtest.h>

#include <cmath>

#include "golden/comparison.hpp"
#include "golden/fixture.hpp"
#include "gradstab/gradstab.hpp"
#include "support/gradients.hpp"
#include "support/state_field.hpp"

namespace gradstab {
namespace {

using fixture::difference;
using fixture::Values;
using testing::Gradients;

/// What the released code ran with.
constexpr double kReleasedEpsilon = 1e-12;

/// Decoupled weight decay first, then Adam with bias correction.
struct AdamW {
  double learning_rate;
  double beta1 = 0.9;
  double beta2 = 0.999;
  double epsilon = 1e-8;
  double weight_decay = 0.01;
  std::int64_t step = 0;
  std::vector<Values> first = {};
  std::vector<Values> second = {};

  void update(std::vector<Values>& parameters, const std::vector<Values>& gradients) {
    if (step == 0) {
      for (const Values& tensor : parameters) {
        first.emplace_back(tensor.size());
        second.emplace_back(tensor.size());
      }
    }
    step += 1;
    const double correction1 = 1.0 - std::pow(beta1, static_cast<double>(step));
    const double correction2 = 1.0 - std::pow(beta2, static_cast<double>(step));
    for (std::size_t t = 0; t < parameters.size(); ++t) {
      for (std::size_t i = 0; i < parameters[t].size(); ++i) {
        const double gradient = gradients[t][i];
        double& m = first[t][i];
        double& v = second[t][i];
        m = beta1 * m + (1.0 - beta1) * gradient;
        v = beta2 * v + (1.0 - beta2) * gradient * gradient;
        parameters[t][i] *= 1.0 - learning_rate * weight_decay;
        parameters[t][i] -=
            learning_rate / correction1 * m / (std::sqrt(v) / std::sqrt(correction2) + epsilon);
      }
    }
  }
};

StabilizerOptions options_of(const fixture::Case& golden) {
  StabilizerOptions options;
  options.gamma1 = golden.hyper_number("gamma1");
  options.gamma2 = golden.hyper_number("gamma2");
  options.bias_correction = golden.hyper.at("bias_correction").get<bool>();
  options.epsilon = kReleasedEpsilon;
  return options;
}

ParameterSet parameters_of(const fixture::Case& golden) {
  std::vector<Parameter> list;
  for (const fixture::Tensor& tensor : golden.tensors) list.push_back({tensor.name, tensor.sizes});
  return testing::parameter_set(list);
}

class StabilizedAdamWGoldenTest : public ::testing::TestWithParam<std::string> {};

TEST_P(StabilizedAdamWGoldenTest, ParametersFollowTheExactRun) {
  const fixture::Case golden = fixture::load_case("gs_adamw", GetParam());
  ASSERT_EQ(golden.hyper_number("eps_gs"), kReleasedEpsilon);
  const ParameterSet parameters = parameters_of(golden);
  GradientTransform transform = stabilize(options_of(golden));
  ASSERT_TRUE(transform.init(parameters).ok());
  AdamW adam{.learning_rate = golden.hyper_number("lr"),
             .beta1 = golden.hyper_number("beta1"),
             .beta2 = golden.hyper_number("beta2"),
             .epsilon = golden.hyper_number("eps"),
             .weight_decay = golden.hyper_number("weight_decay")};
  std::vector<Values> weights;
  for (const fixture::Tensor& tensor : golden.tensors) weights.push_back(tensor.init);
  Gradients gradients(parameters, DType::float64);
  for (const fixture::Step& step : golden.steps) {
    SCOPED_TRACE(::testing::Message() << "step " << step.t << ", " << step.kind);
    gradients.set_all(step.gradients());
    ASSERT_TRUE(transform.update(gradients.refs()).ok());
    adam.update(weights, gradients.values());
    const auto expected = step.tensors("param64");
    EXPECT_EQ(difference(weights, expected, 1e-12), "");
    EXPECT_EQ(difference(weights, step.tensors("param32"), 8e-6), "");
    EXPECT_NE(difference(fixture::perturbed(weights, 1e-12), expected, 1e-12), "");
  }
  const auto counted = testing::state_field(transform, "k");
  const Values used = golden.steps.back().state("state64", "k");
  for (std::size_t i = 0; i < counted.size(); ++i) EXPECT_EQ(counted[i], used[i]);
}

INSTANTIATE_TEST_SUITE_P(All, StabilizedAdamWGoldenTest, ::testing::ValuesIn(fixture::case_names("gs_adamw")),
                         [](const auto& test) { return test.param; });

class StabilizedQuadraticGoldenTest : public ::testing::TestWithParam<std::string> {
 protected:
  const fixture::Case golden_ = fixture::load_case("gs_quadratic", GetParam());

  /// The largest distance, relative to the tensor's largest value, from the trajectory of the exact run.
  /// `disturbance` is added to one gradient of step 1.
  double worst_distance(double disturbance) {
    const Values curvature = fixture::to_float32_values(golden_.hyper.at("curvature"));
    const Values target = fixture::to_float32_values(golden_.hyper.at("target"));
    const auto& multipliers = golden_.hyper.at("multipliers");
    const double learning_rate = golden_.hyper_number("lr");
    const bool is_adamw = golden_.hyper.at("optimizer") == "adamw";
    AdamW adam{.learning_rate = learning_rate};
    adam.weight_decay = 0.0;

    const ParameterSet parameters = parameters_of(golden_);
    GradientTransform transform = stabilize(options_of(golden_));
    EXPECT_TRUE(transform.init(parameters).ok());
    Gradients gradients(parameters, DType::float64);
    std::vector<Values> x = {fixture::to_float32_values(golden_.hyper.at("x0"))};
    double worst = 0.0;
    for (const fixture::Step& step : golden_.steps) {
      const double multiplier =
          fixture::to_number(multipliers.value(std::to_string(step.t), nlohmann::json(1.0)));
      Values gradient;
      for (std::size_t i = 0; i < curvature.size(); ++i) {
        gradient.push_back(curvature[i] * (x[0][i] - target[i]) * multiplier);
      }
      if (step.t == 1) gradient[0] += disturbance;
      gradients.set(0, gradient);
      const auto report = transform.update(gradients.refs());
      EXPECT_TRUE(report.ok());
      if (disturbance == 0.0) {
        const double rho = step.number("rho64");
        EXPECT_NEAR(report->tensors[0].norm(), rho, 1e-11 * rho) << "step " << step.t;
      }
      if (is_adamw) {
        adam.update(x, gradients.values());
      } else {
        const Values direction = gradients.values(0);
        for (std::size_t i = 0; i < direction.size(); ++i) x[0][i] -= learning_rate * direction[i];
      }
      const Values expected = step.tensors("param64")[0];
      double largest = 0.0;
      double error = 0.0;
      for (std::size_t i = 0; i < expected.size(); ++i) {
        largest = std::fmax(largest, std::fabs(expected[i]));
        error = std::fmax(error, std::fabs(x[0][i] - expected[i]));
      }
      worst = std::fmax(worst, error / largest);
    }
    return worst;
  }
};

TEST_P(StabilizedQuadraticGoldenTest, ParametersFollowTheExactRun) {
  EXPECT_LE(worst_distance(0.0), 1e-12);
}

TEST_P(StabilizedQuadraticGoldenTest, ComparisonDetectsAChangedGradient) {
  EXPECT_GT(worst_distance(1e-7), 1e-12);
}

INSTANTIATE_TEST_SUITE_P(All, StabilizedQuadraticGoldenTest,
                         ::testing::ValuesIn(fixture::case_names("gs_quadratic")),
                         [](const auto& test) { return test.param; });

}  // namespace
}  // namespace gradstab
