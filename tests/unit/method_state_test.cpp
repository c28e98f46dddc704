// GradientTransform::state: what each method shows of what it remembers.
#include <gtest/gtest.h>

#include <cmath>

#include "gradstab/gradstab.hpp"
#include "support/gradients.hpp"

namespace gradstab {
namespace {

TEST(MethodStateTest, NamesTheNumbersOfEveryMethodInTheOrderOfTheChain) {
  const ParameterSet parameters = testing::parameter_set({{"a", {2}}, {"b", {1}}});
  ZClipOptions z;
  z.warmup_steps = 2;
  AdaGcOptions ada;
  ada.warmup_steps = 0;
  GradientTransform transform =
      chain(stabilize(), zclip(z), adagc(ada), adaptive_value_clip(), adaptive_norm(), normalize());
  transform.init(parameters).check();
  testing::Gradients gradients(parameters, DType::float64);
  gradients.set(0, std::vector<double>{3.0, 4.0});
  gradients.set(1, std::vector<double>{0.0});
  transform.update(gradients.refs()).value();

  const auto state = transform.state();
  ASSERT_EQ(state.size(), 6u);
  EXPECT_EQ(state[0].method, "stabilize");
  ASSERT_EQ(state[0].fields.size(), 4u);
  EXPECT_EQ(state[0].fields[0].name, "m");
  EXPECT_NEAR(state[0].fields[0].values.at(0), 0.4 * 5.0, 1e-15);
  EXPECT_NEAR(state[0].fields[1].values.at(0), 0.001 * 25.0, 1e-15);
  EXPECT_EQ(state[0].fields[2].values, (std::vector<double>{1.0, 0.0}));  // k
  EXPECT_EQ(state[0].fields[3].values, (std::vector<double>{0.0, 1.0}));  // skipped: a gradient of zeros
  EXPECT_EQ(state[1].method, "zclip");
  EXPECT_TRUE(state[1].fields[0].values.empty()) << "no statistics before the end of the warm-up";
  EXPECT_EQ(state[2].fields[0].name, "gamma");
  EXPECT_EQ(state[3].fields[0].name, "m_max");
  EXPECT_EQ(state[4].fields[0].name, "m_norm");
  EXPECT_TRUE(state[5].fields.empty()) << "normalize remembers nothing";

  gradients.set(0, std::vector<double>{3.0, 4.0});
  transform.update(gradients.refs()).value();
  EXPECT_EQ(transform.state()[1].fields[0].values.size(), 1u);
}

TEST(MethodStateTest, SavedAndLoadedStateLooksTheSame) {
  const ParameterSet parameters = testing::parameter_set({{"a", {2}}});
  GradientTransform first = stabilize();
  GradientTransform second = stabilize();
  first.init(parameters).check();
  second.init(parameters).check();
  testing::Gradients gradients(parameters, DType::float64);
  gradients.set(0, std::vector<double>{1e300, 1e300});  // moments that carry an exponent
  first.update(gradients.refs()).value();
  EXPECT_NE(first.state()[0].fields[0].values, second.state()[0].fields[0].values);
  second.load(first.save().value()).check();
  EXPECT_EQ(first.state()[0].fields[0].values, second.state()[0].fields[0].values);
  EXPECT_NEAR(first.state()[0].fields[0].values[0] / (0.4 * std::sqrt(2.0) * 1e300), 1.0, 1e-14);
}

}  // namespace
}  // namespace gradstab
