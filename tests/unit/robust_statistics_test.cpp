// By default no single gradient spoils what a method remembers: a run with gradients of NaN, Inf or zeros in
// between goes on as the one without them, under every policy.
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <limits>

#include "gradstab/transforms.hpp"
#include "support/gradients.hpp"

namespace gradstab {
namespace {

using testing::Gradients;
using testing::Values;

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
constexpr double kInf = std::numeric_limits<double>::infinity();

struct Method {
  const char* name;
  GradientTransform (*make)(Compat compat);

  friend std::ostream& operator<<(std::ostream& out, const Method& method) { return out << method.name; }
};

const Method kMethods[] = {
    {"zclip", [](Compat compat) { return zclip({.max_norm = kInf, .warmup_steps = 4, .compat = compat}); }},
    {"zclip_percentile",
     [](Compat compat) {
       return zclip({.max_norm = kInf, .warmup_steps = 4, .mode = ZClipMode::percentile, .compat = compat});
     }},
    {"adagc", [](Compat compat) { return adagc({.warmup_steps = 4, .compat = compat}); }},
    {"adagc_per_tensor",
     [](Compat compat) { return adagc({.warmup_steps = 4, .global_warmup = false, .compat = compat}); }},
    {"adagc_model",
     [](Compat compat) { return adagc({.warmup_steps = 4, .whole_model = true, .compat = compat}); }},
    {"spike_aware_clip",
     [](Compat compat) {
       return spike_aware_clip(
           {.threshold = 2.0, .beta2 = 0.9, .reset_interval = 0, .quiet_steps = 2, .compat = compat});
     }},
    {"adaptive_value_clip",
     [](Compat compat) { return adaptive_value_clip({.theta = 0.9, .compat = compat}); }},
    {"adaptive_norm", [](Compat compat) { return adaptive_norm({.total_steps = 9, .compat = compat}); }},
};

class RobustStatisticsTest : public ::testing::TestWithParam<Method> {
 protected:
  /// The outputs of eleven ordinary steps, with a disturbance before each if one is given.
  std::vector<std::vector<Values>> run(Compat compat, NonFinitePolicy policy,
                                       const std::function<void(Gradients&)>& disturb = {}) {
    GradientTransform transform = GetParam().make(compat);
    transform.init(parameters_, {.nonfinite = policy}).check();
    Gradients gradients(parameters_, DType::float64);
    std::vector<std::vector<Values>> outputs;
    for (int step = 1; step <= 11; ++step) {
      if (disturb) {
        disturb(gradients);
        EXPECT_EQ(transform.update(gradients.refs()).ok(), policy != NonFinitePolicy::raise || !raises_);
      }
      gradients.set(0, testing::normal_values(6, step == 9 ? 50.0 : 1.0, static_cast<unsigned>(step)));
      gradients.set(1, testing::normal_values(3, 0.2, static_cast<unsigned>(100 + step)));
      transform.update(gradients.refs()).value();
      outputs.push_back(gradients.values());
    }
    // What was saved after all this can be loaded.
    EXPECT_TRUE(transform.load(transform.save().value()).ok());
    return outputs;
  }

  const ParameterSet parameters_ = testing::parameter_set_of_sizes({{2, 3}, {3}});
  bool raises_ = true;
};

TEST_P(RobustStatisticsTest, NonFiniteGradientsLeaveNoTrace) {
  for (const NonFinitePolicy policy : {NonFinitePolicy::skip_tensor, NonFinitePolicy::skip_step,
                                       NonFinitePolicy::raise, NonFinitePolicy::pass_through}) {
    const auto expected = run(Compat::robust, policy);
    for (const double bad : {kNaN, kInf, -kInf}) {
      const auto disturbed = run(Compat::robust, policy, [&](Gradients& gradients) {
        gradients.set_all({Values(6, bad), {1.0, bad, 2.0}});
      });
      EXPECT_EQ(disturbed, expected) << static_cast<int>(policy) << " " << bad;
    }
  }
}

TEST_P(RobustStatisticsTest, GradientsOfZerosLeaveNoTrace) {
  raises_ = false;
  const auto expected = run(Compat::robust, NonFinitePolicy::skip_tensor);
  const auto disturbed = run(Compat::robust, NonFinitePolicy::skip_tensor, [&](Gradients& gradients) {
    gradients.set_all({Values(6), Values(3)});
  });
  EXPECT_EQ(disturbed, expected);
}

/// Shows that the comparison can fail, and what `released` stands for.
TEST_P(RobustStatisticsTest, AsReleasedTheyDo) {
  const auto expected = run(Compat::released, NonFinitePolicy::pass_through);
  const auto disturbed = run(Compat::released, NonFinitePolicy::pass_through, [&](Gradients& gradients) {
    gradients.set_all({Values(6, kNaN), {1.0, kNaN, 2.0}});
  });
  EXPECT_NE(disturbed, expected);
  raises_ = false;
  EXPECT_NE(run(Compat::released, NonFinitePolicy::skip_tensor,
                [&](Gradients& gradients) {
                  gradients.set_all({Values(6), Values(3)});
                }),
            expected);
}

/// float64 norms whose squares leave the range of a double, and the smallest ones: nothing becomes NaN, and
/// the state stays one that can be loaded.
TEST_P(RobustStatisticsTest, NormsOfEverySizeAreTaken) {
  GradientTransform transform = GetParam().make(Compat::robust);
  ASSERT_TRUE(transform.init(parameters_).ok());
  Gradients gradients(parameters_, DType::float64);
  for (int step = 1; step <= 40; ++step) {
    const double size = step % 7 == 0 ? 1e200 : step % 7 == 3 ? 1e-300 : step % 7 == 5 ? 5e-324 : 1.0;
    gradients.set_all({Values(6, size), Values(3, -size)});
    const auto report = transform.update(gradients.refs());
    ASSERT_TRUE(report.ok());
    for (const Values& tensor : gradients.values()) {
      for (const double value : tensor) ASSERT_TRUE(std::isfinite(value)) << step;
    }
    ASSERT_TRUE(transform.load(transform.save().value()).ok()) << step;
  }
}

/// A saved run goes on as the uninterrupted one, in the released form too, whose statistics may be NaN.
TEST_P(RobustStatisticsTest, TheReleasedFormResumesExactly) {
  GradientTransform whole = GetParam().make(Compat::released);
  GradientTransform second = GetParam().make(Compat::released);
  ASSERT_TRUE(whole.init(parameters_, {.nonfinite = NonFinitePolicy::pass_through}).ok());
  Gradients gradients(parameters_, DType::float64);
  Gradients again(parameters_, DType::float64);
  for (int step = 1; step <= 14; ++step) {
    gradients.set(0, testing::normal_values(6, 1.0, static_cast<unsigned>(step)));
    gradients.set(1, step == 10 ? Values{1.0, kNaN, 1.0} : testing::normal_values(3, 1.0, 77));
    again.set_all(gradients.values());
    ASSERT_TRUE(second.init(parameters_, {.nonfinite = NonFinitePolicy::pass_through}).ok());
    ASSERT_TRUE(second.load(whole.save().value()).ok());
    ASSERT_TRUE(whole.update(gradients.refs()).ok());
    ASSERT_TRUE(second.update(again.refs()).ok());
    EXPECT_EQ(whole.save().value(), second.save().value());
    EXPECT_EQ(gradients.bytes(0), again.bytes(0));
    EXPECT_EQ(gradients.bytes(1), again.bytes(1));
  }
}

/// A state of other settings, of the other form first of all, is refused.
TEST_P(RobustStatisticsTest, AStateOfTheOtherFormIsRefused) {
  GradientTransform robust = GetParam().make(Compat::robust);
  GradientTransform released = GetParam().make(Compat::released);
  ASSERT_TRUE(robust.init(parameters_).ok());
  ASSERT_TRUE(released.init(parameters_).ok());
  const auto before = released.save().value();
  const Status status = released.load(robust.save().value());
  EXPECT_EQ(status.code(), StatusCode::invalid_argument);
  EXPECT_EQ(status.message(),
            robust.name() + " has compat = 'released' here but compat = 'robust' in the saved state");
  EXPECT_EQ(released.save().value(), before);
}

INSTANTIATE_TEST_SUITE_P(All, RobustStatisticsTest, ::testing::ValuesIn(kMethods),
                         [](const auto& test) { return std::string(test.param.name); });

}  // namespace
}  // namespace gradstab
