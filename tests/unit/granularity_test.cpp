// Granularities side by side: chains that mix them, and their saved states.
#include <gtest/gtest.h>

#include <cmath>

#include "gradstab/transforms.hpp"
#include "support/gradients.hpp"
#include "support/norm_error.hpp"
#include "support/saved_moments.hpp"

namespace gradstab {
namespace {

using testing::factor_error;
using testing::Gradients;
using testing::normal_values;
using testing::saved_moments;
using testing::Values;

const std::vector<Parameter> kParameters = {{"up", {3, 4}}, {"bias", {5}}, {"down", {4, 2}}, {"scale", {}}};

ParameterSet parameters() {
  return testing::parameter_set(kParameters);
}

ParameterSet reversed_parameters() {
  return testing::parameter_set({kParameters.rbegin(), kParameters.rend()});
}

/// Gradients by name, so that the order of the parameters does not matter; each tensor has a scale of its
/// own, and so has each of its elements.
void fill(Gradients& gradients, const ParameterSet& set, std::uint32_t step) {
  for (std::size_t t = 0; t < set.size(); ++t) {
    const auto count = static_cast<std::size_t>(element_count(set[t].sizes));
    const auto seed = static_cast<std::uint32_t>(set[t].name[0]);
    Values values = normal_values(count, 0.1 * static_cast<double>(count), 1000 * step + seed);
    for (std::size_t i = 0; i < count; ++i) values[i] *= 1.0 + static_cast<double>(i);
    gradients.set(t, values);
  }
}

Units grouped() {
  return Units::by_name({{"matrices", {"up", "down"}}, {"scales", {"sc*"}}});
}

struct Case {
  const char* name;
  Units units;
};

std::vector<Case> granularities() {
  return {{"tensor", Units::per_tensor()},
          {"row", Units::per_row()},
          {"group", grouped()},
          {"model", Units::whole_model()}};
}

TEST(MixedChainTest, EqualsItsLinksOneAfterTheOther) {
  // Every link makes a pass of its own here and rounds all elements; in the chain they are rounded once.
  const auto links = [] {
    std::vector<GradientTransform> list;
    list.push_back(clip_by_global_norm(3.0));
    list.push_back(stabilize({}, Units::per_row()));
    list.push_back(stabilize({.gamma1 = 0.3}));
    list.push_back(stabilize({.gamma2 = 0.9}, grouped()));
    list.push_back(record_norms(4.0, Units::whole_model()));
    return list;
  };
  const ParameterSet set = parameters();
  GradientTransform together = chain_of(links());
  ASSERT_TRUE(together.init(set).ok());
  std::vector<GradientTransform> apart = links();
  for (GradientTransform& link : apart) ASSERT_TRUE(link.init(set).ok());
  GradientTransform other_order = chain(stabilize({}, Units::per_row()), clip_by_global_norm(3.0),
                                        stabilize({.gamma1 = 0.3}), stabilize({.gamma2 = 0.9}, grouped()));
  ASSERT_TRUE(other_order.init(set).ok());

  Gradients chained(set, DType::float64);
  Gradients stepwise(set, DType::float64);
  Gradients reordered(set, DType::float64);
  bool order_matters = false;
  for (std::uint32_t step = 1; step <= 15; ++step) {
    for (Gradients* gradients : {&chained, &stepwise, &reordered}) fill(*gradients, set, step);
    const auto report = together.update(chained.refs());
    ASSERT_TRUE(report.ok());
    for (GradientTransform& link : apart) ASSERT_TRUE(link.update(stepwise.refs()).ok());
    ASSERT_TRUE(other_order.update(reordered.refs()).ok());
    const double bound = 4.0 * factor_error(26);
    for (std::size_t t = 0; t < set.size(); ++t) {
      const Values actual = chained.values(t);
      const Values expected = stepwise.values(t);
      for (std::size_t i = 0; i < actual.size(); ++i) {
        ASSERT_NEAR(actual[i], expected[i], bound * std::fabs(expected[i])) << set[t].name << "[" << i << "]";
        order_matters |= std::fabs(reordered.values(t)[i] - actual[i]) > 1e6 * bound * std::fabs(actual[i]);
      }
    }
  }
  EXPECT_TRUE(order_matters) << "the comparison can fail";
}

/// Rows may not be told apart by links that do not ask for it, whoever else in the chain does.
TEST(MixedChainTest, ALinkPerTensorDecidesTheSameBesideALinkPerRow) {
  const ParameterSet set = parameters();
  for (const Case& other : granularities()) {
    SCOPED_TRACE(other.name);
    GradientTransform alone = stabilize({}, other.units);
    GradientTransform beside = chain(stabilize({}, other.units), record_norms(4.0, Units::per_row()));
    ASSERT_TRUE(alone.init(set).ok());
    ASSERT_TRUE(beside.init(set).ok());
    Gradients of_alone(set, DType::float64);
    Gradients of_beside(set, DType::float64);
    for (std::uint32_t step = 1; step <= 13; ++step) {
      fill(of_alone, set, step);
      fill(of_beside, set, step);
      const auto expected = alone.update(of_alone.refs());
      const auto actual = beside.update(of_beside.refs());
      ASSERT_TRUE(expected.ok() && actual.ok());
      for (std::size_t t = 0; t < set.size(); ++t) {
        EXPECT_EQ(actual->tensors[t].present, expected->tensors[t].present);
        const double factor = expected->tensors[t].factor;
        EXPECT_NEAR(actual->tensors[t].factor, factor, factor * factor_error(26)) << set[t].name;
        const double norm = expected->tensors[t].raw_norm;
        EXPECT_NEAR(actual->tensors[t].raw_norm, norm, norm * testing::norm_error(26));
      }
    }
  }
}

class GranularityStateTest : public ::testing::TestWithParam<std::size_t> {
 protected:
  const Case case_ = granularities()[GetParam()];

  GradientTransform made(const ParameterSet& set) const {
    GradientTransform transform = stabilize({}, case_.units);
    EXPECT_TRUE(transform.init(set).ok());
    return transform;
  }
  static void run(GradientTransform& transform, std::uint32_t first, std::uint32_t last) {
    Gradients gradients(transform.parameters(), DType::float64);
    for (std::uint32_t step = first; step <= last; ++step) {
      fill(gradients, transform.parameters(), step);
      EXPECT_TRUE(transform.update(gradients.refs()).ok());
    }
  }
};

TEST_P(GranularityStateTest, AResumedRunEqualsTheUninterruptedOneBitForBit) {
  GradientTransform whole = made(parameters());
  run(whole, 1, 20);
  GradientTransform first = made(parameters());
  run(first, 1, 9);
  GradientTransform second = made(parameters());
  run(second, 30, 33);  // a state that loading must replace altogether
  ASSERT_TRUE(second.load(first.save().value()).ok());
  EXPECT_EQ(second.save().value(), first.save().value());
  run(second, 10, 20);
  EXPECT_EQ(second.save().value(), whole.save().value());
  run(first, 11, 20);
  EXPECT_NE(first.save().value(), whole.save().value()) << "a step left out shows";
}

TEST_P(GranularityStateTest, ReorderedParametersFindTheirUnitsByName) {
  GradientTransform source = made(parameters());
  run(source, 1, 9);
  GradientTransform target = made(reversed_parameters());
  ASSERT_TRUE(target.load(source.save().value()).ok());
  const auto before = saved_moments(source);
  const auto after = saved_moments(target);
  // Units in the order of: up, bias, down, scale; rows of up 0..2, bias 3, of down 4..7, scale 8; the groups
  // matrices and scales, then bias.
  const std::vector<std::vector<std::size_t>> found_again = {
      {3, 2, 1, 0}, {8, 4, 5, 6, 7, 3, 0, 1, 2}, {0, 1, 2}, {0}};
  const std::vector<std::size_t>& order = found_again[GetParam()];
  ASSERT_EQ(after.size(), order.size());
  for (std::size_t unit = 0; unit < order.size(); ++unit) EXPECT_EQ(after[unit], before[order[unit]]) << unit;
  for (std::size_t unit = 1; unit < before.size(); ++unit) EXPECT_NE(before[unit], before[0]) << "all differ";
}

TEST_P(GranularityStateTest, AnotherGranularityIsRefusedByName) {
  GradientTransform target = made(parameters());
  run(target, 1, 3);
  const auto state = target.save().value();
  for (const Case& other : granularities()) {
    if (std::string_view(other.name) == case_.name) continue;
    GradientTransform source = stabilize({}, other.units);
    ASSERT_TRUE(source.init(parameters()).ok());
    run(source, 1, 2);
    const Status status = target.load(source.save().value());
    EXPECT_EQ(status.code(), StatusCode::invalid_argument);
    EXPECT_EQ(status.message(), std::string("stabilize has granularity = '") + case_.name +
                                    "' here but granularity = '" + other.name + "' in the saved state");
    EXPECT_EQ(target.save().value(), state);
  }
}

TEST_P(GranularityStateTest, RebindKeepsTheUnitsOfNamesThatStay) {
  GradientTransform transform = made(parameters());
  run(transform, 1, 9);
  const auto before = saved_moments(transform);
  // "down" goes, "late" comes, and the order changes.
  const ParameterSet changed =
      testing::parameter_set({{"late", {2, 2}}, {"scale", {}}, {"up", {3, 4}}, {"bias", {5}}});
  ASSERT_TRUE(transform.rebind(changed).ok());
  const auto after = saved_moments(transform);
  constexpr std::size_t kNew = 99;
  const std::vector<std::vector<std::size_t>> found_again = {
      {kNew, 3, 0, 1}, {kNew, kNew, 8, 0, 1, 2, 3}, {0, 1, kNew, 2}, {0}};
  const std::vector<std::size_t>& order = found_again[GetParam()];
  ASSERT_EQ(after.size(), order.size());
  for (std::size_t unit = 0; unit < order.size(); ++unit) {
    EXPECT_EQ(after[unit], order[unit] == kNew ? NormMoments{} : before[order[unit]]) << unit;
  }
  run(transform, 10, 11);
}

INSTANTIATE_TEST_SUITE_P(Units, GranularityStateTest, ::testing::Range(std::size_t{0}, std::size_t{4}),
                         [](const auto& test) { return std::string(granularities()[test.param].name); });

TEST(GroupStateTest, OtherGroupsAreRefusedWithBothTexts) {
  GradientTransform source = stabilize({}, grouped());
  ASSERT_TRUE(source.init(parameters()).ok());
  const auto state = source.save().value();
  GradientTransform target = stabilize({}, Units::by_name({{"matrices", {"up"}}, {"rest", {"*"}}}));
  ASSERT_TRUE(target.init(parameters()).ok());
  EXPECT_EQ(target.load(state).message(),
            "stabilize has groups = 'matrices=up;rest=*' here but groups = 'matrices=up,down;scales=sc*' in "
            "the saved state");
}

TEST(GroupStateTest, GroupsThatDifferOnlyInSeparatorsAreOtherGroups) {
  const ParameterSet set = testing::parameter_set({{"a,b", {2}}, {"a", {2}}, {"b", {2}}});
  const auto make = [&](std::vector<std::string> patterns) {
    GradientTransform transform = stabilize({}, Units::by_name({{"g", std::move(patterns)}}));
    EXPECT_TRUE(transform.init(set).ok());
    return transform;
  };
  GradientTransform target = make({"a,b"});
  EXPECT_EQ(target.load(make({"a", "b"}).save().value()).message(),
            "stabilize has groups = 'g=a\\,b' here but groups = 'g=a,b' in the saved state");
  EXPECT_TRUE(target.load(make({"a,b"}).save().value()).ok());
}

TEST(GroupStateTest, ATensorNamedLikeAGroupKeepsItsOwnMoments) {
  const auto set = [](bool turned) {
    std::vector<Parameter> list = {{"body", {2}}, {"a", {3}}, {"b", {2}}};
    if (turned) std::swap(list[0], list[2]);
    return testing::parameter_set(list);
  };
  const auto make = [&](bool turned) {
    GradientTransform transform = stabilize({}, Units::by_name({{"body", {"a", "b"}}}));
    EXPECT_TRUE(transform.init(set(turned)).ok());
    return transform;
  };
  GradientTransform source = make(false);
  Gradients gradients(set(false), DType::float64);
  gradients.set_all({{6, 8}, {2, 2, 1}, {4, 0}});
  ASSERT_TRUE(source.update(gradients.refs()).ok());
  GradientTransform target = make(true);
  ASSERT_TRUE(target.load(source.save().value()).ok());
  EXPECT_EQ(saved_moments(target), saved_moments(source));
  EXPECT_NE(saved_moments(source)[0], saved_moments(source)[1]);
}

TEST(GroupStateTest, RebindWithoutAMemberOfSomeGroupIsRefusedAndNothingIsLost) {
  GradientTransform transform = stabilize({}, grouped());
  ASSERT_TRUE(transform.init(parameters()).ok());
  Gradients gradients(parameters(), DType::float64);
  fill(gradients, parameters(), 1);
  ASSERT_TRUE(transform.update(gradients.refs(), 1).ok());
  const auto state = transform.save().value();
  const Status status = transform.rebind(testing::parameter_set({{"up", {3, 4}}, {"bias", {5}}}));
  EXPECT_EQ(status.code(), StatusCode::invalid_argument);
  EXPECT_EQ(status.message(),
            "no parameter belongs to group 'scales' (pattern 'sc*'); the first parameter is 'up'");
  EXPECT_EQ(transform.parameters().size(), 4u);
  EXPECT_EQ(transform.save().value(), state);
  fill(gradients, parameters(), 2);
  EXPECT_FALSE(transform.update(gradients.refs(), 1).ok());
  EXPECT_TRUE(transform.update(gradients.refs(), 2).ok());
}

TEST(GroupStateTest, AGroupWithoutMembersIsReportedByInit) {
  GradientTransform transform = stabilize({}, Units::by_name({{"attention", {"*.attn"}}}));
  const Status status = transform.init(parameters());
  EXPECT_EQ(status.code(), StatusCode::invalid_argument);
  EXPECT_EQ(status.message(),
            "no parameter belongs to group 'attention' (pattern '*.attn'); the first parameter is 'up'");
  Gradients gradients(parameters(), DType::float64);
  EXPECT_EQ(transform.update(gradients.refs()).status().code(), StatusCode::failed_precondition);
}

TEST(GroupStateTest, InvalidUnitsAreReportedByInit) {
  GradientTransform transform = chain(clip_by_global_norm(1.0), record_norms(4.0, Units::by_name({})));
  EXPECT_EQ(transform.init(parameters()).message(), "granularity 'group' needs at least one group, got none");
}

}  // namespace
}  // namespace gradstab
