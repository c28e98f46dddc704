// Every optimizer against the same one written in double, over long runs with all that may change on the way:
// groups, learning rates, missing gradients.
#include <gtest/gtest.h>

#include <cmath>
#include <set>
#include <type_traits>

#include "core/optimizer/optimizer_rule.hpp"
#include "gradstab/backend.hpp"
#include "optimizer/kinds.hpp"
#include "optimizer/training.hpp"

namespace gradstab::testing {
namespace {

constexpr int kSteps = 200;

/// The kind's options changed a little, as those of a group of its own.
OptimizerOptions group_options(OptimizerOptions options, std::size_t group) {
  const auto g = static_cast<double>(group);
  std::visit(
      [g](auto& typed) {
        for_each_setting(typed, [g](const Setting& setting, auto& value) {
          if constexpr (std::is_same_v<decltype(value), double&>) {
            if (setting.name == "lr") {
              value *= 1 + 0.3 * g;
            } else if (setting.name == "weight_decay") {
              value *= 1 - 0.4 * g;
            } else if ((setting.name == "momentum" || setting.name.starts_with("beta")) && value > 0) {
              value -= 0.02 * g;
            }
          }
        });
      },
      options);
  return options;
}

double scheduled(double lr, int step) {
  return lr * (0.55 + 0.45 * std::cos(0.05 * step));
}

struct Comparison {
  std::vector<Values> library;
  std::vector<Values> plain;
  double largest_value = 0.0;
  double largest_step = 0.0;
  std::vector<std::int64_t> library_steps;
  std::vector<std::int64_t> plain_steps;
};

/// The same run with both. `wrong` multiplies the plain optimizer's learning rate: a negative control.
Comparison compare(const Kind& kind, DType dtype, const std::string& backend, unsigned seed,
                   double wrong = 1.0) {
  std::mt19937_64 random(seed);
  const ParameterSet parameters = small_model(1 + static_cast<std::int64_t>(random() % 40));
  const std::size_t group_count = 1 + random() % 3;
  std::vector<OptimizerGroup> groups(group_count);
  std::vector<std::size_t> group_of(parameters.size());
  for (std::size_t g = 0; g < group_count; ++g) groups[g].options = group_options(kind.options, g);
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    group_of[i] = random() % group_count;
    groups[group_of[i]].parameters.push_back(i);
  }
  Training training(parameters, dtype, dtype, kind.options, {}, {.run = {.backend = backend}}, groups, seed);
  std::vector<PlainParameter> plain = plain_parameters(parameters);
  for (std::size_t i = 0; i < plain.size(); ++i) plain[i].value = training.weights.values(i);

  Comparison result;
  for (int step = 1; step <= kSteps; ++step) {
    training.gradients.set_all(random_gradients(random, parameters));
    for (std::size_t g = 0; g < group_count; ++g) {
      const double lr = scheduled(learning_rate(groups[g].options), step);
      training.optimizer.set_options(g, with_learning_rate(groups[g].options, lr)).check();
    }
    for (std::size_t i = 0; i < plain.size(); ++i) {
      if (random() % 5 == 0) {
        training.gradients.set_absent(i);
        continue;
      }
      const OptimizerOptions options = training.optimizer.options(group_of[i]).value();
      const Values before = plain[i].value;
      plain_step(plain[i], with_learning_rate(options, wrong * learning_rate(options)),
                 training.gradients.values(i), step);
      for (std::size_t k = 0; k < before.size(); ++k) {
        result.largest_value = std::fmax(result.largest_value, std::fabs(before[k]));
        result.largest_step = std::fmax(result.largest_step, std::fabs(plain[i].value[k] - before[k]));
      }
    }
    training.optimizer.step(training.weights.refs(), training.gradients.refs()).value();
  }
  result.library = training.weights.values();
  for (std::size_t i = 0; i < plain.size(); ++i) {
    result.plain.push_back(plain[i].value);
    result.plain_steps.push_back(plain[i].step);
    result.library_steps.push_back(training.optimizer.parameter_state(i)->step);
  }
  return result;
}

/// So that what goes through all kinds goes through all rules.
TEST(KindsTest, EveryRuleIsThatOfAKind) {
  std::set<UpdateRule> seen;
  for (const Kind& kind : all_kinds())
    for (const Parameter& parameter : small_model())
      seen.insert(parameter_rule(kind.options, parameter).value().rule);
  for (const UpdateRule rule : kUpdateRules) EXPECT_TRUE(seen.contains(rule)) << to_string(rule);
}

class EqualityTest : public ::testing::TestWithParam<Kind> {};

TEST_P(EqualityTest, Float64FollowsThePlainOptimizerTo1em12) {
  for (unsigned seed = 1; seed <= 6; ++seed) {
    SCOPED_TRACE(seed);
    const Comparison run = compare(GetParam(), DType::float64, "", seed);
    EXPECT_EQ(difference(run.library, run.plain, 1e-12), "");
    EXPECT_EQ(run.library_steps, run.plain_steps);
  }
  const Comparison wrong = compare(GetParam(), DType::float64, "", 1, 1 + 1e-9);
  EXPECT_NE(difference(wrong.library, wrong.plain, 1e-12), "");
}

/// A step rounds keep*p and the difference, 2 u of |p| each time with the rounded scalar, and its own
/// numbers. What an average has collected is at most its roundings per step, 6 u, times the steps it
/// remembers, which of all betas here is below 70; the quotient of two of them and its scalars double that
/// and add 10. Errors of steps add up.
double float32_tolerance(const Comparison& run) {
  constexpr double kU = 0x1p-24;
  constexpr double kAverages = 2 * 6 * 70 + 10;
  return kSteps * kU * (4 * run.largest_value + kAverages * run.largest_step);
}

TEST_P(EqualityTest, Float32FollowsThePlainOptimizerToItsRoundings) {
  for (const Backend* backend : backends()) {
    if (!backend->supported()) continue;
    SCOPED_TRACE(backend->name());
    for (unsigned seed = 1; seed <= 3; ++seed) {
      SCOPED_TRACE(seed);
      const Comparison run = compare(GetParam(), DType::float32, std::string(backend->name()), seed);
      // That is the worst case; roundings mostly cancel, so a tenth of it must do. Random numbers are fixed.
      EXPECT_EQ(difference(run.library, run.plain, 0.1 * float32_tolerance(run)), "");
    }
  }
  const Comparison wrong = compare(GetParam(), DType::float32, "", 1, 1.02);
  EXPECT_NE(difference(wrong.library, wrong.plain, 0.1 * float32_tolerance(wrong)), "");
}

INSTANTIATE_TEST_SUITE_P(All, EqualityTest, ::testing::ValuesIn(all_kinds()),
                         [](const auto& test) { return test.param.name; });

}  // namespace
}  // namespace gradstab::testing
