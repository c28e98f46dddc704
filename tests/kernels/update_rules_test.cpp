// The update rules on numbers worked out by hand, on every backend.
#include <gtest/gtest.h>

#include <algorithm>
#include <limits>

#include "update_arrays.hpp"

namespace gradstab::testing {
namespace {

struct HandCase {
  const char* name;
  UpdateRule rule;
  UpdateScalars scalars;
  double parameter, gradient;
  double states[kMaxStates];
  double expected_parameter;
  double expected_states[kMaxStates];
};

/// Small dyadic numbers: every operation is exact in float32, so every backend must give these very values.
std::vector<HandCase> hand_cases() {
  UpdateScalars s;
  s.gradient_factor = 0.5;
  s.l2 = 0.25;
  s.keep = 0.75;
  s.step_size = 0.125;
  s.beta1 = 0.5;
  s.weight1 = 0.25;
  s.beta2 = 0.75;
  s.weight2 = 0.5;
  s.root_factor = 2.0;
  s.epsilon = 1.0;
  s.keep_after = 0.5;
  s.threshold = 4.0;
  // g = 0.5 * 6 + 0.25 * 4 = 4 throughout; keep p = 3.
  std::vector<HandCase> cases;
  cases.push_back({"plain", UpdateRule::plain, s, 4, 6, {}, 3 - 0.125 * 4, {}});
  cases.push_back({"momentum", UpdateRule::momentum, s, 4, 6, {2}, 3 - 0.125 * 2, {2}});  // 0.5*2 + 0.25*4
  cases.push_back({"nesterov", UpdateRule::nesterov, s, 4, 6, {2}, 3 - 0.125 * 5, {2}});  // 4 + 0.5*2
  // v = 0.75*1.333 would not be exact: 0.75*0 + 0.5*16 = 8 has no exact root; 0.75*32/3 neither; take v = 32.
  s.weight2 = 0.0625;                                                                       // 0.75 * v + 1
  cases.push_back({"adam", UpdateRule::adam, s, 4, 6, {2, 4}, 3 - 0.125 * 2 / 5, {2, 4}});  // root 2*2+1
  cases.push_back({"amsgrad", UpdateRule::amsgrad, s, 4, 6, {2, 4, 9}, 3 - 0.125 * 2 / 7, {2, 4, 9}});
  cases.push_back(
      {"amsgrad_new_maximum", UpdateRule::amsgrad, s, 4, 6, {2, 4, 1}, 3 - 0.125 * 2 / 5, {2, 4, 4}});
  // Limit 4*4 = 16 = g^2 is not exceeded; with v = 1 it is 4: g becomes 2, m = 1.5, v = 0.75 + 0.25 = 1.
  cases.push_back({"spam_at_the_limit", UpdateRule::spam, s, 4, 6, {2, 4}, (3 - 0.125 * 2 / 5) / 2, {2, 4}});
  cases.push_back({"spam_clipped", UpdateRule::spam, s, 4, 6, {2, 1}, (3 - 0.125 * 1.5 / 3) / 2, {1.5, 1}});
  // -0.5*18 + 1 = -8: clipped to -2, m = 1 - 0.5.
  cases.push_back(
      {"spam_clipped_below", UpdateRule::spam, s, 4, -18, {2, 1}, (3 - 0.125 * 0.5 / 3) / 2, {0.5, 1}});
  s.threshold =
      std::numeric_limits<double>::infinity();  // never clips, not even where the second moment is 0
  cases.push_back({"spam_quiet", UpdateRule::spam, s, 4, 6, {2, 0}, (3 - 0.125 * 2 / 3) / 2, {2, 1}});
  s.weight2 = 0.5;
  cases.push_back({"lion_up", UpdateRule::lion, s, 4, 6, {2}, 3 - 0.125, {3.5}});    // sign(1 + 1)
  cases.push_back({"lion_down", UpdateRule::lion, s, 4, 6, {-4}, 3 + 0.125, {-1}});  // sign(-2 + 1)
  cases.push_back({"lion_undecided", UpdateRule::lion, s, 4, 6, {-2}, 3, {0.5}});    // sign(-1 + 1)
  return cases;
}

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
