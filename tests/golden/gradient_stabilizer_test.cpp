// stabilize against the authors' released code and against exact arithmetic.
#include <gtest/gtest.h>

#include <cmath>
#include <vector>

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

/// The released code leaves a skipped gradient as it is.
const RunOptions kReleasedPolicy = {
    .nonfinite = NonFinitePolicy::pass_through, .backend = {}, .executor = {}};

ParameterSet parameters_of(const fixture::Case& golden) {
  std::vector<Parameter> parameters;
  for (const fixture::Tensor& tensor : golden.tensors) parameters.push_back({tensor.name, tensor.sizes});
  return testing::parameter_set(std::move(parameters));
}

StabilizerOptions options_of(const fixture::Case& golden) {
  StabilizerOptions options;
  options.gamma1 = golden.hyper_number("gamma1");
  options.gamma2 = golden.hyper_number("gamma2");
  options.epsilon = golden.hyper_number("eps64");
  options.bias_correction = golden.hyper.at("bias_correction").get<bool>();
  return options;
}

class GradientStabilizerGoldenTest : public ::testing::TestWithParam<std::string> {
 protected:
  const fixture::Case golden_ = fixture::load_case("gradient_stabilizer", GetParam());
  const ParameterSet parameters_ = parameters_of(golden_);

  /// Calls check(step, transform, gradients after the transform) for every step of the case.
  template <class Check>
  void run(DType dtype, Check check) {
    GradientTransform transform = stabilize(options_of(golden_));
    ASSERT_TRUE(transform.init(parameters_, kReleasedPolicy).ok());
    Gradients gradients(parameters_, dtype);
    for (const fixture::Step& step : golden_.steps) {
      SCOPED_TRACE(::testing::Message() << "step " << step.t << ", " << step.kind);
      gradients.set_all(step.gradients());
      const auto report = transform.update(gradients.refs(), step.t);
      ASSERT_TRUE(report.ok()) << report.status().message();
      check(step, transform, gradients.values());
    }
  }
};

TEST_P(GradientStabilizerGoldenTest, SixteenAnd32BitGradientsMatchBothRuns) {
  const bool narrow = golden_.dtype == "bfloat16";
  const double against_exact = narrow ? 4e-3 : 4e-6;
  const double against_released = narrow ? 1.5e-2 : 4e-6;
  run(narrow ? DType::bfloat16 : DType::float32,
      [&](const fixture::Step& step, const GradientTransform&, const std::vector<Values>& out) {
        EXPECT_EQ(difference(out, step.tensors("out64"), against_exact), "");
        // The released code skips norms that leave float32's range; exact arithmetic does not.
        if (!golden_.released_defect) {
          EXPECT_EQ(difference(out, step.tensors("out32"), against_released), "");
        }
      });
}

TEST_P(GradientStabilizerGoldenTest, DoubleGradientsMatchTheExactRun) {
  run(DType::float64, [&](const fixture::Step& step, const GradientTransform&, const auto& out) {
    EXPECT_EQ(difference(out, step.tensors("out64"), 1e-12), "");
  });
}

TEST_P(GradientStabilizerGoldenTest, MomentsMatchTheExactRun) {
  run(DType::float64, [&](const fixture::Step& step, const GradientTransform& transform, const auto&) {
    const Values first = step.state("state64", "m");
    const Values second = step.state("state64", "v");
    const Values used = step.state("state64", "k");
    const Values skipped = step.state("state64", "skipped");
    const auto state = [&](const char* name) { return testing::state_field(transform, name); };
    ASSERT_EQ(state("m").size(), first.size());
    for (std::size_t i = 0; i < first.size(); ++i) {
      EXPECT_NEAR(state("m")[i], first[i], 1e-12 * first[i]) << "tensor " << i;
      EXPECT_NEAR(state("v")[i], second[i], 1e-12 * second[i]) << "tensor " << i;
      EXPECT_EQ(state("k")[i], used[i]) << "tensor " << i;
      EXPECT_EQ(state("skipped")[i], skipped[i]) << "tensor " << i;
    }
  });
}

TEST_P(GradientStabilizerGoldenTest, DecideAloneReachesTheSameMomentsAndNorms) {
  const StabilizerOptions options = options_of(golden_);
  std::vector<NormMoments> moments(golden_.tensors.size());
  Values rho(golden_.tensors.size());
  for (const fixture::Step& step : golden_.steps) {
    SCOPED_TRACE(::testing::Message() << "step " << step.t << ", " << step.kind);
    const std::vector<Values> gradients = step.gradients();
    for (std::size_t i = 0; i < moments.size(); ++i) {
      const double norm = testing::norm_of(gradients[i]);
      if (!std::isfinite(norm) || norm == 0.0) continue;
      const auto correction = bias_correction_at(options, moments[i].step + 1);
      // The fixture's rho comes before the released code's floor max(norm, epsilon) under the raw norm.
      const double floor = std::fmax(norm, options.epsilon) / norm;
      rho[i] = decide(options, correction, moments[i], norm).stabilized_norm * floor;
    }
    const Values first = step.state("state64", "m");
    const Values expected_rho = step.state("state64", "rho");
    for (std::size_t i = 0; i < moments.size(); ++i) {
      EXPECT_NEAR(moments[i].first, first[i], 1e-12 * first[i]) << "tensor " << i;
      if (moments[i].step > 0) {
        EXPECT_NEAR(rho[i], expected_rho[i], 1e-12 * expected_rho[i]) << "tensor " << i;
      }
    }
  }
}

TEST_P(GradientStabilizerGoldenTest, ComparisonDetectsAChangedGradient) {
  const auto out = golden_.steps.front().tensors("out64");
  for (const double tolerance : {1e-12, 4e-6, 4e-3, 1.5e-2}) {
    EXPECT_NE(difference(fixture::perturbed(out, tolerance), out, tolerance), "");
  }
  // The whole path: one element of the first gradient off by 1e-4 shows in the exact comparison.
  GradientTransform transform = stabilize(options_of(golden_));
  ASSERT_TRUE(transform.init(parameters_, kReleasedPolicy).ok());
  Gradients gradients(parameters_, DType::float64);
  bool noticed = false;
  for (const fixture::Step& step : golden_.steps) {
    gradients.set_all(step.t == 1 ? fixture::perturbed(step.gradients(), 1e-4) : step.gradients());
    ASSERT_TRUE(transform.update(gradients.refs()).ok());
    noticed = noticed || !difference(gradients.values(), step.tensors("out64"), 1e-12).empty();
  }
  EXPECT_TRUE(noticed);
}

INSTANTIATE_TEST_SUITE_P(All, GradientStabilizerGoldenTest,
                         ::testing::ValuesIn(fixture::case_names("gradient_stabilizer")),
                         [](const auto& test) { return test.param; });

/// The bound that the fixture's author computed by other means.
TEST(GradientStabilizerBoundGoldenTest, WorstCaseGrowthStaysAtTheBoundOfEveryStep) {
  for (const char* name : {"worst_case_growth_released", "worst_case_growth_paper"}) {
    const fixture::Case golden = fixture::load_case("gradient_stabilizer", name);
    const StabilizerOptions options = options_of(golden);
    const Values bounds = fixture::to_values(golden.data.at("bound64"));
    ASSERT_EQ(bounds.size(), golden.steps.size());
    for (std::size_t i = 0; i < bounds.size(); ++i) {
      const double bound = step_bound(options, golden.steps[i].t);
      EXPECT_NEAR(bound, bounds[i], 1e-13 * bounds[i]) << name << " step " << golden.steps[i].t;
      // The float32 gradients follow the worst growth to 6e-8 only; around the maximum that is second order.
      const double rho = golden.steps[i].state("state64", "rho")[0];
      EXPECT_NEAR(rho, bound, 1e-13 * bound) << name << " step " << golden.steps[i].t;
    }
  }
}

}  // namespace
}  // namespace gradstab
