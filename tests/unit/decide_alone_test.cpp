// GradientTransform::decide: factors from norms that were measured elsewhere.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "gradstab/transforms.hpp"
#include "support/gradients.hpp"

namespace gradstab::testing {
namespace {

using ::testing::HasSubstr;

ParameterSet two() {
  return ParameterSet::create({{"some", {3}}, {"none", {0, 2}}}).value();
}

TEST(DecideAlone, GivesTheFactorsOfAnUpdateOverTheSameNorms) {
  for (const bool by_model : {false, true}) {
    const auto make = [&] { return by_model ? chain(clip_by_global_norm(2.0), stabilize()) : stabilize(); };
    GradientTransform measured = make();
    GradientTransform given = make();
    const auto set = ParameterSet::create({{"a", {2}}, {"b", {2}}, {"c", {2}}}).value();
    measured.init(set).check();
    given.init(set).check();
    Gradients gradients(set, DType::float64);
    for (int step = 1; step <= 5; ++step) {
      // 3-4-5 triangles: the roots of their squares are exact.
      const double scale = step == 4 ? 1000.0 : step;
      gradients.set_all({{3.0 * scale, 4.0 * scale},
                         {step == 3 ? std::numeric_limits<double>::infinity() : 0.0, 0.0},
                         {6.0, 8.0}});
      if (step == 2) gradients.set_absent(2);
      const StepReport expected = measured.update(gradients.refs()).value();
      const double infinite = std::numeric_limits<double>::infinity();
      const double squares[] = {25.0 * scale * scale, step == 3 ? infinite : 0.0,
                                step == 2 ? kNoGradient : 100.0};
      const StepReport report = given.decide(squares).value();
      for (std::size_t t = 0; t < 3; ++t) {
        EXPECT_EQ(report.tensors[t].present, expected.tensors[t].present);
        EXPECT_EQ(report.tensors[t].factor, expected.tensors[t].factor) << step << ", " << t;
        EXPECT_EQ(report.tensors[t].zeroed, expected.tensors[t].zeroed);
        EXPECT_EQ(report.tensors[t].finite, expected.tensors[t].finite);
        EXPECT_EQ(report.tensors[t].spike, expected.tensors[t].spike);
      }
      EXPECT_EQ(report.global_norm, expected.global_norm);
      EXPECT_EQ(report.step, expected.step);
    }
    EXPECT_EQ(given.save().value(), measured.save().value());
  }
}

TEST(DecideAlone, AnUpdateAfterwardsMeasuresAgain) {
  GradientTransform transform = normalize();
  transform.init(ParameterSet::create({{"a", {2}}}).value()).check();
  const double squares[] = {1e6};
  EXPECT_EQ(transform.decide(squares)->tensors[0].factor, 1e-3);
  Gradients gradients(transform.parameters(), DType::float32);
  gradients.set_all({{3.0, 4.0}});
  EXPECT_EQ(transform.update(gradients.refs())->tensors[0].factor, 0.2);
}

TEST(DecideAlone, ATensorWithoutElementsHereMayHaveANorm) {
  GradientTransform transform = normalize();
  transform.init(two()).check();
  const double squares[] = {4.0, 16.0};
  const StepReport report = transform.decide(squares).value();
  EXPECT_EQ(report.tensors[0].factor, 0.5);
  EXPECT_EQ(report.tensors[1].factor, 0.25);
}

TEST(DecideAlone, SaysWhatIsWrong) {
  GradientTransform transform = stabilize();
  const double squares[] = {4.0, 16.0};
  EXPECT_THAT(transform.decide(squares).status().message(), HasSubstr("before a successful init"));
  transform.init(two()).check();
  EXPECT_EQ(transform.decide(std::span(squares).first(1)).status().message(),
            "got 1 squared norms for 2 registered parameters");
  transform.decide(squares, 3).value();
  EXPECT_EQ(transform.decide(squares, 3).status().code(), StatusCode::failed_precondition);
  GradientTransform by_element = clip_by_value(1.0);
  by_element.init(two()).check();
  EXPECT_THAT(by_element.decide(squares).status().message(),
              HasSubstr("'clip_by_value' needs more than the norms"));
}

}  // namespace
}  // namespace gradstab::testing
