// The update rules on numbers worked out by hand, on every backend.
#include <gtest/gtest.h>

#include <algorithm>

#include "rule_numbers.hpp"
#include "update_arrays.hpp"

namespace gradstab::testing {
namespace {

TEST(UpdateRuleTest, EveryRuleIsWorkedOutByHand) {
  const std::vector<HandCase> cases = hand_cases();
  for (const UpdateRule rule : kUpdateRules)
    EXPECT_TRUE(std::ranges::count(cases, rule, &HandCase::rule) > 0) << to_string(rule);
}

TEST(UpdateRuleTest, ByHand) {
  for (const Backend* backend : supported_backends()) {
    for (const HandCase& c : hand_cases()) {
      for (const ParameterStorage storage : {ParameterStorage::float32, ParameterStorage::float64}) {
        SCOPED_TRACE(::testing::Message() << backend->name() << ", " << c.name);
        const DType dtype = storage == ParameterStorage::float32 ? DType::float32 : DType::float64;
        Arrays arrays(storage, dtype, 21, 0);
        for (std::size_t i = 0; i < 21; ++i) {
          arrays.parameter.set(i, c.parameter);
          arrays.gradient.set(i, c.gradient);
          for (std::size_t k = 0; k < kMaxStates; ++k) arrays.states[k]->set(i, c.states[k]);
        }
        backend->update(arrays.block(c.rule), c.scalars);
        for (const std::size_t i : {0u, 20u}) {
          EXPECT_NEAR(arrays.parameter.get(i), c.expected_parameter, 0x1p-21);  // quotients are not exact
          for (std::size_t k = 0; k < state_count(c.rule); ++k)
            EXPECT_EQ(arrays.states[k]->get(i), c.expected_states[k]) << "state " << k;
        }
      }
    }
  }
}

}  // namespace
}  // namespace gradstab::testing
