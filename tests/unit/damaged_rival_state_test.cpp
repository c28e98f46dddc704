// States of the methods of clipping.hpp whose checksum is right and whose content no run leaves behind.
#include <gtest/gtest.h>

#include <cstring>
#include <limits>

#include "core/base/state_codec.hpp"
#include "gradstab/transforms.hpp"
#include "support/gradients.hpp"
#include "support/saved_state.hpp"

namespace gradstab {
namespace {

using testing::Gradients;
using testing::Values;

using Bytes = std::vector<std::byte>;

struct Method {
  const char* name;
  GradientTransform (*make)();

  friend std::ostream& operator<<(std::ostream& out, const Method& method) { return out << method.name; }
};

const Method kMethods[] = {
    {"zclip", [] { return zclip({.warmup_steps = 3}); }},
    {"zclip_in_warm_up", [] { return zclip(); }},
    {"adagc", [] { return adagc({.warmup_steps = 3}); }},
    {"adagc_model", [] { return adagc({.whole_model = true}); }},
    {"spike_aware_clip", [] { return spike_aware_clip({.quiet_steps = 2}); }},
    {"adaptive_value_clip", [] { return adaptive_value_clip(); }},
    {"adaptive_norm", [] { return adaptive_norm(); }},
};

class DamagedRivalStateTest : public ::testing::TestWithParam<Method> {
 protected:
  static GradientTransform trained(int steps) {
    const ParameterSet parameters = testing::parameter_set({{"one", {2}}, {"two", {3}}});
    GradientTransform transform = GetParam().make();
    transform.init(parameters).check();
    Gradients gradients(parameters, DType::float64);
    for (int step = 1; step <= steps; ++step) {
      gradients.set_all({{1.0 + step, 2.0}, {0.5, -0.25 * step, 1.0}});
      transform.update(gradients.refs()).status().check();
    }
    return transform;
  }

  /// The payload of a state after five steps.
  static Bytes payload() {
    const Bytes state = trained(5).save().value();
    const auto inside = unwrap_state(state).value();
    return {inside.begin(), inside.end()};
  }

  /// What loading says; if it is refused the transform must be as it was.
  static Status load(const Bytes& payload) {
    GradientTransform target = trained(2);
    const Bytes before = target.save().value();
    Status status = target.load(wrap_state(payload));
    EXPECT_TRUE(status.ok() || target.save().value() == before) << "a refused state left something behind";
    return status;
  }
};

TEST_P(DamagedRivalStateTest, TheUndamagedOneIsTaken) {
  EXPECT_TRUE(load(payload()).ok());
}

/// NaN is no statistic; and its bits as a count are too many.
TEST_P(DamagedRivalStateTest, NaNOrANegativeNumberInAnyFieldIsRefused) {
  const Bytes whole = payload();
  const std::size_t own = testing::saved_bytes(trained(5));
  ASSERT_EQ(own % 8, 0u);
  ASSERT_GT(own, 0u);
  for (std::size_t at = whole.size() - own; at < whole.size(); at += 8) {
    for (const double value : {std::numeric_limits<double>::quiet_NaN(), -1.0, -5e300}) {
      Bytes damaged = whole;
      std::memcpy(damaged.data() + at, &value, sizeof value);
      const Status status = load(damaged);
      EXPECT_EQ(status.code(), StatusCode::corrupt_data)
          << "field at " << whole.size() - at << " from the end, " << value;
    }
  }
}

TEST_P(DamagedRivalStateTest, EveryShorterOrLongerPayloadIsRefused) {
  const Bytes whole = payload();
  for (std::size_t length = 0; length <= whole.size() + 20; ++length) {
    Bytes cut = whole;
    cut.resize(length);
    EXPECT_EQ(load(cut).ok(), length == whole.size()) << length;
  }
}

/// Parameters may come in another order; those that are gone are dropped when parameters change.
TEST_P(DamagedRivalStateTest, StateFollowsTheNamesOfParameters) {
  if (GetParam().name == std::string("adagc_model") || std::string(GetParam().name).starts_with("zclip"))
    return;
  GradientTransform turned = GetParam().make();
  ASSERT_TRUE(turned.init(testing::parameter_set({{"two", {3}}, {"one", {2}}})).ok());
  ASSERT_TRUE(turned.load(trained(5).save().value()).ok());
  GradientTransform straight = trained(5);
  ASSERT_TRUE(straight.rebind(testing::parameter_set({{"two", {3}}, {"one", {2}}})).ok());
  EXPECT_EQ(turned.save().value(), straight.save().value());
  ASSERT_TRUE(straight.rebind(testing::parameter_set({{"new", {1}}, {"one", {2}}})).ok());
  ASSERT_TRUE(straight.rebind(testing::parameter_set({{"one", {2}}})).ok());
  GradientTransform first = trained(5);
  ASSERT_TRUE(first.rebind(testing::parameter_set({{"one", {2}}})).ok());
  EXPECT_EQ(straight.save().value(), first.save().value());
}

INSTANTIATE_TEST_SUITE_P(All, DamagedRivalStateTest, ::testing::ValuesIn(kMethods),
                         [](const auto& test) { return std::string(test.param.name); });

/// A warm-up that has taken no norm knows nothing. With a mean of its own the next norms would leave a
/// negative variance, which the next load would refuse.
TEST(DamagedZClipStateTest, StatisticsOfNoNormsAreRefused) {
  GradientTransform transform = zclip();
  transform.init(testing::parameter_set({{"one", {2}}})).check();
  const Bytes state = transform.save().value();
  const auto inside = unwrap_state(state).value();
  // The last five fields: norms collected, mean, variance, and two counts.
  for (const std::size_t field : {std::size_t{4}, std::size_t{3}}) {
    Bytes damaged(inside.begin(), inside.end());
    const double value = 1e209;
    std::memcpy(damaged.data() + damaged.size() - 8 * field, &value, sizeof value);
    EXPECT_EQ(transform.load(wrap_state(damaged)).code(), StatusCode::corrupt_data) << field;
    EXPECT_EQ(transform.save().value(), state);
  }
  EXPECT_TRUE(transform.load(state).ok());
}

}  // namespace
}  // namespace gradstab
