// Chains with element-wise links: what they do to elements, what the links behind them see, what is reported.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "gradstab/transforms.hpp"
#include "support/gradients.hpp"
#include "support/saved_moments.hpp"
#include "support/strided_tensor.hpp"

namespace gradstab {
namespace {

using testing::Gradients;
using testing::Values;

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
constexpr double kInf = std::numeric_limits<double>::infinity();

class StagesTest : public ::testing::Test {
 protected:
  GradientTransform made(GradientTransform transform,
                         NonFinitePolicy policy = NonFinitePolicy::skip_tensor) const {
    transform.init(parameters_, {.nonfinite = policy}).check();
    return transform;
  }

  const ParameterSet parameters_ = testing::parameter_set({{"a", {2}}, {"b", {2, 2}}});
  Gradients gradients_{parameters_, DType::float64};
};

TEST_F(StagesTest, ValueClippingCutsElementsAndReportsTheNormsOfBothSides) {
  GradientTransform transform = made(clip_by_value(1.0));
  gradients_.set_all({{3.0, -0.5}, {0.25, -4.0, 1.0, -1.0}});
  const StepReport report = transform.update(gradients_.refs()).value();
  EXPECT_EQ(gradients_.values(0), (Values{1.0, -0.5}));
  EXPECT_EQ(gradients_.values(1), (Values{0.25, -1.0, 1.0, -1.0}));
  EXPECT_EQ(report.tensors[0].raw_norm, std::sqrt(9.25));
  EXPECT_NEAR(report.tensors[0].norm(), std::sqrt(1.25), 1e-15);
  EXPECT_NEAR(report.global_norm, std::sqrt(1.25 + 3.0625), 1e-15);
  EXPECT_NEAR(report.raw_global_norm, std::sqrt(9.25 + 0.0625 + 16 + 2), 1e-15);
}

TEST_F(StagesTest, LinksBehindAnElementWiseOneSeeTheNormsItLeaves) {
  GradientTransform transform = made(chain(scale_by(2.0), clip_by_value(1.0), clip_by_global_norm(0.5)));
  gradients_.set_all({{3.0, -0.125}, {0.0, 0.0, 0.0, 0.25}});
  ASSERT_TRUE(transform.update(gradients_.refs()).ok());
  const double factor = 0.5 / (std::sqrt(1.0 + 0.0625 + 0.25) + 1e-6);
  EXPECT_NEAR(gradients_.values(0)[0], factor, 1e-15);
  EXPECT_NEAR(gradients_.values(0)[1], -0.25 * factor, 1e-15);
  EXPECT_NEAR(gradients_.values(1)[3], 0.5 * factor, 1e-15);
}

TEST_F(StagesTest, MomentsBehindAnElementWiseLinkAreThoseOfTheClippedGradient) {
  GradientTransform behind = made(chain(clip_by_value(1.0), stabilize()));
  GradientTransform alone = made(stabilize());
  for (int step = 1; step <= 20; ++step) {
    const double size = step == 12 ? 1e6 : 0.5;
    gradients_.set_all({{size, -0.3}, {0.1, size, 0.2, 0.3}});
    ASSERT_TRUE(behind.update(gradients_.refs()).ok());
    const auto chained = gradients_.values();
    gradients_.set_all({{std::fmin(size, 1.0), -0.3}, {0.1, std::fmin(size, 1.0), 0.2, 0.3}});
    ASSERT_TRUE(alone.update(gradients_.refs()).ok());
    EXPECT_EQ(chained, gradients_.values()) << step;
  }
}

TEST_F(StagesTest, AFactorInFrontIsAppliedBeforeTheElementsAreCut) {
  for (const DType dtype : {DType::float32, DType::float64, DType::float16, DType::bfloat16}) {
    GradientTransform transform = made(chain(scale_by(0.5), clip_by_value(1.0)));
    Gradients gradients(parameters_, dtype);
    gradients.set_all({{1.5, -8.0}, {3.0, 0.25, -0.0, 0.0}});
    ASSERT_TRUE(transform.update(gradients.refs()).ok());
    EXPECT_EQ(gradients.values(0), (Values{0.75, -1.0}));
    EXPECT_EQ(gradients.values(1), (Values{1.0, 0.125, -0.0, 0.0}));
  }
}

TEST_F(StagesTest, EachPolicyTreatsANonFiniteGradientBeforeElementsAreWritten) {
  const std::vector<Values> bad = {{kInf, 2.0}, {0.5, kNaN, 3.0, 0.25}};
  for (const NonFinitePolicy policy : {NonFinitePolicy::raise, NonFinitePolicy::skip_step}) {
    GradientTransform transform = made(chain(clip_by_value(1.0), stabilize()), policy);
    gradients_.set_all(bad);
    const auto before = gradients_.bytes(0);
    const auto state = transform.save().value();
    const auto report = transform.update(gradients_.refs());
    EXPECT_EQ(report.ok(), policy == NonFinitePolicy::skip_step);
    EXPECT_EQ(gradients_.bytes(0), before);
    EXPECT_EQ(transform.save().value(), state);
    EXPECT_EQ(transform.report().nonfinite, 2u);
  }
  GradientTransform skips = made(clip_by_value(1.0));
  gradients_.set_all({{0.5, 2.0}, {0.5, kNaN, 3.0, 0.25}});
  const StepReport report = skips.update(gradients_.refs()).value();
  EXPECT_EQ(gradients_.values(0), (Values{0.5, 1.0}));
  EXPECT_EQ(gradients_.values(1), (Values{0.0, 0.0, 0.0, 0.0}));
  EXPECT_TRUE(report.tensors[1].zeroed);
  EXPECT_FALSE(report.tensors[1].finite);
  EXPECT_EQ(report.tensors[1].norm(), 0.0);

  GradientTransform passes = made(clip_by_value(1.0), NonFinitePolicy::pass_through);
  gradients_.set_all(bad);
  ASSERT_TRUE(passes.update(gradients_.refs()).ok());
  EXPECT_EQ(gradients_.values(0), (Values{1.0, 1.0})) << "as in PyTorch, an infinity becomes the limit";
  EXPECT_TRUE(std::isnan(gradients_.values(1)[1]));
  EXPECT_EQ(gradients_.values(1)[2], 1.0);
  EXPECT_FALSE(passes.report().tensors[0].finite) << "the report is of the gradient as it came";
}

/// Under `skip_tensor` a tensor that was set aside stays so for the links behind.
TEST_F(StagesTest, MomentsBehindDoNotSeeTensorsThatWereSetAside) {
  GradientTransform transform = made(chain(clip_by_value(1.0), stabilize()));
  gradients_.set_all({{0.5, 0.5}, {0.5, 0.5, 0.5, 0.5}});
  ASSERT_TRUE(transform.update(gradients_.refs()).ok());
  gradients_.set_all({{0.5, 0.5}, {0.5, kInf, 0.5, 0.5}});
  ASSERT_TRUE(transform.update(gradients_.refs()).ok());
  EXPECT_EQ(gradients_.values(1), (Values{0.0, 0.0, 0.0, 0.0}));
  gradients_.set_all({{0.5, 0.5}, {0.5, 0.5, 0.5, 0.5}});
  ASSERT_TRUE(transform.update(gradients_.refs()).ok());
  EXPECT_NEAR(testing::norm_of(gradients_.values(1)), 1.0, 1e-14);
}

/// ... and a norm of the model that lacks them enters no statistics.
TEST_F(StagesTest, StatisticsBehindDoNotTakeAModelWithATensorSetAside) {
  const auto last_of = [&](bool disturbed) {
    GradientTransform transform = made(chain(clip_by_value(100.0), zclip({.warmup_steps = 2})));
    for (const double size : {2.0, 4.0, 9.0, 3.0}) {
      if (size == 9.0 && !disturbed) continue;
      gradients_.set_all({{size, 0.0}, {0.0, size == 9.0 ? kNaN : size, 0.0, 0.0}});
      EXPECT_TRUE(transform.update(gradients_.refs()).ok());
    }
    return transform.save().value();
  };
  const auto plain = last_of(false);
  const auto disturbed = last_of(true);
  // Mean and variance, in front of the two counts that end the state.
  const auto statistics = [](const std::vector<std::byte>& state) {
    return std::vector<std::byte>(state.end() - 32, state.end() - 16);
  };
  EXPECT_EQ(statistics(disturbed), statistics(plain));
}

TEST_F(StagesTest, StridedAndSparseGradientsAreCutElementByElement) {
  const std::vector<std::int64_t> sizes = {2, 2};
  const std::vector<std::int64_t> strides = {3, 1};
  std::vector<double> memory = {5.0, -6.0, 99.0, 0.5, 7.0};
  GradientTransform transform = made(chain(clip_by_value(1.0), adaptive_value_clip({.theta = 0.5})));
  gradients_.set_all({{0.0, 0.0}, {0.0, 0.0, 0.0, 0.0}});
  std::vector<TensorRef> refs(gradients_.refs().begin(), gradients_.refs().end());
  refs[1].data = memory.data();
  refs[1].strides = strides;
  ASSERT_TRUE(transform.update(refs).ok());
  EXPECT_EQ(memory, (std::vector<double>{1.0, -1.0, 99.0, 0.5, 1.0}));

  const std::vector<std::int64_t> stored = {3};
  std::vector<double> values = {4.0, -0.25, -9.0};
  refs[1] = {.data = values.data(), .dtype = DType::float64, .sizes = stored, .strides = {}};
  refs[1].sparse_values = true;
  ASSERT_TRUE(transform.update(refs).ok());
  EXPECT_EQ(values, (std::vector<double>{1.0, -0.25, -1.0}));
}

TEST_F(StagesTest, WithoutParametersAMethodThatAsksForThemIsRefused) {
  GradientTransform transform = made(chain(record_norms(), adaptive_clip()));
  EXPECT_TRUE(transform.needs_parameters());
  EXPECT_FALSE(stabilize().needs_parameters());
  gradients_.set_all({{1.0, 2.0}, {1.0, 2.0, 3.0, 4.0}});
  const auto before = gradients_.values();
  const auto state = transform.save().value();
  const Status status = transform.update(gradients_.refs()).status();
  EXPECT_EQ(status.code(), StatusCode::failed_precondition);
  EXPECT_EQ(status.message(),
            "'adaptive_clip' compares gradients with their parameters, which were not given; call "
            "update(gradients, parameters)");
  Gradients values(parameters_, DType::float32);
  values.set_all({{1.0, 2.0}, {1.0, 2.0, 3.0, 4.0}});
  EXPECT_EQ(transform.update(gradients_.refs(), values.refs().first(1)).status().message(),
            "got 1 parameters for 2 registered ones");
  values.set_absent(0);
  EXPECT_EQ(transform.update(gradients_.refs(), values.refs()).status().message(),
            "parameter 'a' has a gradient but no data");
  const std::vector<std::int64_t> other = {4};
  std::vector<TensorRef> refs(values.refs().begin(), values.refs().end());
  refs[0] = gradients_.refs()[0];
  refs[1].sizes = other;
  EXPECT_EQ(transform.update(gradients_.refs(), refs).status().message(),
            "parameter 'b' has shape [4], expected [2, 2]");
  EXPECT_EQ(gradients_.values(), before);
  EXPECT_EQ(transform.save().value(), state);
}

}  // namespace
}  // namespace gradstab
