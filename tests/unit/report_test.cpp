// The numbers of a StepReport.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "gradstab/decide.hpp"
#include "gradstab/transforms.hpp"
#include "support/gradients.hpp"

namespace gradstab {
namespace {

using testing::Gradients;
using testing::Values;

TEST(StepReportTest, GivesRawNormFactorAndNormOfEveryTensor) {
  const ParameterSet parameters = testing::parameter_set_of_sizes({{2}, {1}, {4}});
  GradientTransform transform = stabilize();
  ASSERT_TRUE(transform.init(parameters).ok());
  Gradients gradients(parameters, DType::float64);
  std::vector<NormMoments> moments(3);
  for (int step = 1; step <= 30; ++step) {
    const double scale = step == 25 ? 100.0 : 1.0 + 0.1 * (step % 3);
    gradients.set_all({{3 * scale, 4 * scale}, {-2 * scale}, {scale, scale, scale, scale}});
    const auto report = transform.update(gradients.refs());
    ASSERT_TRUE(report.ok());
    EXPECT_EQ(report->step, step);
    EXPECT_EQ(report->nonfinite, 0u);
    EXPECT_FALSE(report->skip_step);
    EXPECT_EQ(report->spikes, step == 25 ? 3u : 0u) << step;
    ASSERT_EQ(report->tensors.size(), 3u);
    const double raw[] = {5 * scale, 2 * scale, 2 * scale};
    double squares = 0.0;
    for (std::size_t t = 0; t < 3; ++t) {
      const TensorReport& tensor = report->tensors[t];
      const Decision decision = decide({}, bias_correction_at({}, step), moments[t], tensor.raw_norm);
      EXPECT_NEAR(tensor.raw_norm, raw[t], 1e-15 * raw[t]);
      EXPECT_EQ(tensor.factor, decision.factor);
      EXPECT_NEAR(tensor.norm(), decision.stabilized_norm, 1e-15 * decision.stabilized_norm);
      EXPECT_NEAR(tensor.norm(), testing::norm_of(gradients.values(t)), 1e-15 * tensor.norm());
      EXPECT_TRUE(tensor.present && tensor.finite && !tensor.zeroed);
      squares += decision.stabilized_norm * decision.stabilized_norm;
    }
    EXPECT_NEAR(report->raw_global_norm, std::sqrt(33.0) * scale, 1e-14 * scale);
    EXPECT_NEAR(report->global_norm, std::sqrt(squares), 1e-14);
  }
}

TEST(StepReportTest, NormUsesTheAbsoluteFactor) {
  EXPECT_EQ((TensorReport{.raw_norm = 3.0, .factor = -2.0}.norm()), 6.0);
  EXPECT_EQ((TensorReport{.raw_norm = 3.0, .factor = 2.0, .zeroed = true}.norm()), 0.0);
}

TEST(StepReportTest, GlobalNormsLeaveOutTensorsThatAreAbsentOrNotFinite) {
  const ParameterSet parameters = testing::parameter_set_of_sizes({{1}, {1}, {1}});
  GradientTransform transform = record_norms();
  ASSERT_TRUE(transform.init(parameters, {.nonfinite = NonFinitePolicy::pass_through}).ok());
  Gradients gradients(parameters, DType::float32);
  gradients.set_all({{4}, {std::numeric_limits<double>::infinity()}, {3}});
  gradients.set_absent(2);
  const auto report = transform.update(gradients.refs());
  ASSERT_TRUE(report.ok());
  EXPECT_EQ(report->raw_global_norm, 4.0);
  EXPECT_EQ(report->global_norm, 4.0);
  EXPECT_EQ(report->nonfinite, 1u);
}

TEST(StepReportTest, TensorsAreFoundAgainWhenTheirGradientReturns) {
  const ParameterSet parameters = testing::parameter_set_of_sizes({{1}, {1}});
  GradientTransform transform = record_norms();
  ASSERT_TRUE(transform.init(parameters).ok());
  Gradients gradients(parameters, DType::float32);
  gradients.set(1, Values{std::numeric_limits<double>::quiet_NaN()});
  gradients.set_absent(0);
  ASSERT_TRUE(transform.update(gradients.refs()).ok());
  gradients.set_all({{1}, {2}});
  gradients.set_absent(1);
  const auto report = transform.update(gradients.refs());
  ASSERT_TRUE(report.ok());
  EXPECT_TRUE(report->tensors[0].present);
  EXPECT_EQ(report->nonfinite, 0u) << "nothing is left of the step before";
  EXPECT_TRUE(report->tensors[1].finite);
}

}  // namespace
}  // namespace gradstab
