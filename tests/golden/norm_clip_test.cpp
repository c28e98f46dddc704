// clip_by_global_norm against torch.nn.utils.clip_grad_norm_.
#include <gtest/gtest.h>

#include <cmath>

#include "golden/comparison.hpp"
#include "golden/fixture.hpp"
#include "gradstab/gradstab.hpp"
#include "support/gradients.hpp"

namespace gradstab {
namespace {

using fixture::difference;
using fixture::Values;
using testing::Gradients;

class NormClipGoldenTest : public ::testing::TestWithParam<std::string> {
 protected:
  const fixture::Case golden_ = fixture::load_case("norm_clip", GetParam());
  const bool max_abs_ = std::isinf(fixture::to_number(golden_.hyper.at("norm_type")));

  void compare(DType dtype, const char* key, double tolerance) {
    std::vector<Parameter> list;
    for (const fixture::Tensor& tensor : golden_.tensors) list.push_back({tensor.name, tensor.sizes});
    const ParameterSet parameters = testing::parameter_set(list);
    GradientTransform transform =
        clip_by_global_norm({.max_norm = golden_.hyper_number("max_norm"), .p = max_abs_ ? kUnbounded : 2.0});
    const RunOptions released = {.nonfinite = NonFinitePolicy::pass_through, .backend = {}, .executor = {}};
    ASSERT_TRUE(transform.init(parameters, released).ok());
    Gradients gradients(parameters, dtype);
    for (const fixture::Step& step : golden_.steps) {
      SCOPED_TRACE(::testing::Message() << "step " << step.t << ", " << step.kind);
      gradients.set_all(step.gradients());
      const auto report = transform.update(gradients.refs());
      ASSERT_TRUE(report.ok()) << report.status().message();
      EXPECT_EQ(difference(gradients.values(), step.tensors(key), tolerance), "");
      check_report(*report, step);
    }
  }

  void check_report(const StepReport& report, const fixture::Step& step) {
    const Values coefficient = {step.number("coef64")};
    for (const TensorReport& tensor : report.tensors) {
      EXPECT_EQ(difference(std::span(&tensor.factor, 1), coefficient, 1e-12), "");
    }
    if (report.nonfinite > 0) {
      EXPECT_FALSE(std::isfinite(step.number("total_norm64")));
      return;  // the report's global norm is over the finite tensors
    }
    // The report always gives the Euclidean norm; the largest entry is only what the limit applies to.
    if (max_abs_) return;
    const double total = step.number("total_norm64");
    EXPECT_NEAR(report.raw_global_norm, total, 1e-12 * total);
    EXPECT_NEAR(report.global_norm, total * coefficient[0], 1e-12 * total);
  }
};

TEST_P(NormClipGoldenTest, FloatGradientsMatchTorch) {
  compare(DType::float32, "out32", 4e-6);
}

TEST_P(NormClipGoldenTest, DoubleGradientsMatchTheExactRun) {
  compare(DType::float64, "out64", 1e-12);
}

TEST_P(NormClipGoldenTest, ComparisonDetectsAChangedGradient) {
  for (const fixture::Step& step : golden_.steps) {
    const auto out = step.tensors("out64");
    if (step.kind != "ordinary") continue;
    EXPECT_NE(difference(fixture::perturbed(out, 1e-12), out, 1e-12), "");
    EXPECT_NE(difference(fixture::perturbed(out, 4e-6), out, 4e-6), "");
  }
}

INSTANTIATE_TEST_SUITE_P(All, NormClipGoldenTest, ::testing::ValuesIn(fixture::case_names("norm_clip")),
                         [](const auto& test) { return test.param; });

}  // namespace
}  // namespace gradstab
