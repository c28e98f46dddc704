// What a transform remembers, parameter by parameter; states under other names; parameters that are
// forgotten.
#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <string>

#include "fuzz/state_subjects.hpp"
#include "gradstab/transforms.hpp"
#include "support/gradients.hpp"
#include "support/saved_moments.hpp"

namespace gradstab {
namespace {

using fuzz::kStateSubjects;
using fuzz::StateSubject;

using Lists = std::vector<std::vector<ParameterStatistic>>;

GradientTransform trained(const StateSubject& subject, int steps) {
  GradientTransform transform = subject.make();
  EXPECT_TRUE(transform.init(fuzz::state_parameters()).ok());
  for (int step = 0; step < steps; ++step) EXPECT_TRUE(fuzz::step(transform, step).ok());
  return transform;
}

Lists statistics_of(const GradientTransform& transform) {
  Lists lists;
  for (std::size_t i = 0; i < transform.parameters().size(); ++i)
    lists.push_back(transform.statistics(i).value());
  return lists;
}

class StatisticsTest : public ::testing::TestWithParam<StateSubject> {};
INSTANTIATE_TEST_SUITE_P(, StatisticsTest, ::testing::ValuesIn(kStateSubjects),
                         [](const auto& test) { return std::string(test.param.name); });

TEST_P(StatisticsTest, TheyAreCompleteAndExact) {
  for (const int steps : {0, 3, 8}) {
    const GradientTransform source = trained(GetParam(), steps);
    GradientTransform target = trained(GetParam(), 2);
    ASSERT_TRUE(target.set_statistics(statistics_of(source)).ok());
    EXPECT_EQ(target.save().value(), source.save().value()) << steps;
  }
}

TEST_P(StatisticsTest, OneParameterAloneTakesNothingFromTheOthers) {
  const GradientTransform source = trained(GetParam(), 8);
  GradientTransform target = trained(GetParam(), 2);
  Lists before = statistics_of(target);
  Lists one(4);
  one[2] = source.statistics(2).value();
  ASSERT_TRUE(target.set_statistics(one).ok());
  EXPECT_EQ(target.statistics(2).value(), one[2]);
  // Of the others nothing changes but what all have in common, or a group of them.
  const std::string name = GetParam().name;
  if (name != "tensor" && name != "row" && name != "robust") return;
  before[0].front() = one[2].front();  // the number of updates
  EXPECT_EQ(target.statistics(0).value(), before[0]);
}

TEST_P(StatisticsTest, WhatDoesNotFitIsRefusedAndChangesNothing) {
  const GradientTransform source = trained(GetParam(), 8);
  GradientTransform target = trained(GetParam(), 3);
  const auto before = target.save().value();
  const Lists good = statistics_of(source);
  const auto refuse = [&](const Lists& lists) {
    const Status status = target.set_statistics(lists);
    EXPECT_FALSE(status.ok());
    EXPECT_EQ(target.save().value(), before);
    return status.message();
  };
  EXPECT_EQ(refuse({}), "got statistics of 0 parameters, 4 are registered");
  Lists lists = good;
  lists[3].erase(lists[3].begin());
  EXPECT_EQ(refuse(lists), "statistics of 'g' have no number of updates");
  lists = good;
  lists[1][1].values[0] += 1;
  EXPECT_EQ(refuse(lists).find("statistics of 'b' are of other settings of '"), 0u) << lists[1][1].name;
  lists = good;
  lists[1].push_back({"9.other.m", {1.0}});
  EXPECT_EQ(refuse(lists), "statistics of 'b' have '9.other.m' with 1 values, which is not expected here");
  for (std::size_t k = 2; k < good[1].size(); ++k) {
    if (good[1][k].name.ends_with(".settings")) continue;
    lists = good;
    lists[1][k].values.pop_back();
    EXPECT_EQ(refuse(lists), "statistics of 'b' have too few values of '" + good[1][k].name + "'");
    lists = good;
    lists[1][k].values[0] = -1.5;  // neither a count nor an amount; a norm would take the place of its square
    refuse(lists);
  }
}

TEST(Statistics, SayWhichMethodIsMissing) {
  GradientTransform other = trained({"", [] { return zclip(); }}, 1);
  const GradientTransform source = trained({"", [] { return stabilize(); }}, 1);
  EXPECT_EQ(other.set_statistics(statistics_of(source)).message(),
            "statistics of 'a' are not those of 'zclip', which is method 0 here");
  EXPECT_EQ(source.statistics(4).status().message(), "there is no parameter 4; 4 are registered");
  EXPECT_EQ(stabilize().statistics(0).status().message(), "statistics was called before a successful init");
}

TEST(Statistics, CountsBeyondWhatDoublesTellApartAreRefused) {
  GradientTransform transform = trained({"", [] { return stabilize(); }}, 2);
  Lists lists = statistics_of(transform);
  const auto named = [&](const char* name) {
    return std::ranges::find(lists[0], name, &ParameterStatistic::name)->values.data();
  };
  for (const char* name : {"0.stabilize.k", "0.stabilize.exponent", "updates"}) {
    const double before = *named(name);
    for (const double value : {0.5, 1e300, std::numeric_limits<double>::quiet_NaN()}) {
      *named(name) = value;
      EXPECT_FALSE(transform.set_statistics(lists).ok()) << name << " " << value;
    }
    *named(name) = before;
  }
  EXPECT_TRUE(transform.set_statistics(lists).ok());
}

// ---- Names ----

TEST_P(StatisticsTest, AStateGoesUnderOtherNames) {
  if (std::string(GetParam().name) == "group") return;  // its groups go by names
  const GradientTransform source = trained(GetParam(), 8);
  const auto state = source.save().value();
  const auto saved = saved_parameters(state);
  ASSERT_TRUE(saved.ok());
  std::vector<std::string> names;
  for (const Parameter& parameter : *saved) names.push_back(parameter.name);
  EXPECT_EQ(names, (std::vector<std::string>{"a", "b", "wide", "g"}));
  EXPECT_EQ((*saved)[2].sizes, (std::vector<std::int64_t>{5, 2}));
  GradientTransform target = GetParam().make();
  ASSERT_TRUE(
      target.init(testing::parameter_set({{"wide", {5, 2}}, {"m.a", {2, 3}}, {"g", {}}, {"m.b", {4}}})).ok());
  const std::vector<std::string> renamed = {"m.a", "m.b", "wide", "g"};
  ASSERT_TRUE(target.load(state, renamed).ok());
  EXPECT_EQ(target.statistics(1).value(), source.statistics(0).value());
  EXPECT_EQ(target.statistics(0).value(), source.statistics(2).value());
  EXPECT_EQ(target.load(state).message(), "saved state has a parameter 'a' that is not registered here");
  EXPECT_EQ(target.load(state, std::vector<std::string>{"m.a"}).message(),
            "got 1 names for 4 saved parameters");
}

TEST(Statistics, UnitsOfTensorsInNoGroupFollowTheirNames) {
  const auto make = [] { return stabilize({}, Units::by_name({{"biases", {"*bias"}}})); };
  const auto build = [&](const char* prefix) {
    GradientTransform transform = make();
    const std::string p = prefix;
    EXPECT_TRUE(transform
                    .init(testing::parameter_set(
                        {{p + "w", {2, 3}}, {p + "v", {4}}, {p + "bias", {5, 2}}, {p + "g", {}}}))
                    .ok());
    return transform;
  };
  GradientTransform source = build("");
  for (int step = 0; step < 4; ++step) ASSERT_TRUE(fuzz::step(source, step).ok());
  GradientTransform target = build("m.");
  const std::vector<std::string> names = {"m.w", "m.v", "m.bias", "m.g"};
  ASSERT_TRUE(target.load(source.save().value(), names).ok());
  EXPECT_EQ(statistics_of(target), statistics_of(source));
}

TEST(Statistics, SavedParametersOfWhatIsNoState) {
  EXPECT_EQ(saved_parameters({}).status().code(), StatusCode::corrupt_data);
  auto state = trained({"", [] { return stabilize(); }}, 1).save().value();
  state.pop_back();
  EXPECT_EQ(saved_parameters(state).status().code(), StatusCode::corrupt_data);
}

// ---- Parameters that are forgotten ----

TEST_P(StatisticsTest, WhatIsFreshStartsAfreshAlsoInAnotherShape) {
  if (std::string(GetParam().name) == "chain") return;  // its groups are of several parameters
  GradientTransform transform = trained(GetParam(), 8);
  const GradientTransform before = trained(GetParam(), 8);
  GradientTransform untrained = trained(GetParam(), 0);
  const ParameterSet changed =
      testing::parameter_set({{"a", {2, 3}}, {"b", {7}}, {"wide", {5, 2}}, {"g", {}}});
  EXPECT_EQ(transform.rebind(changed).code(), StatusCode::shape_mismatch);
  EXPECT_EQ(transform.save().value(), before.save().value());
  const std::vector<std::size_t> fresh = {1};
  ASSERT_TRUE(transform.rebind(changed, fresh).ok());
  EXPECT_EQ(transform.statistics(0).value(), before.statistics(0).value());
  const std::string name = GetParam().name;
  if (name != "tensor" && name != "robust" && name != "adagc" && name != "stable_spam") return;
  // Alike but for the number of updates, which is of the transform.
  auto expected = untrained.statistics(1).value();
  expected.front() = before.statistics(1).value().front();
  const auto own = transform.statistics(1).value();
  ASSERT_EQ(own.size(), expected.size());
  for (std::size_t k = 0; k < own.size(); ++k) {
    if (own[k].name == "0.adagc.step") continue;
    EXPECT_EQ(own[k], expected[k]) << own[k].name;
  }
}

}  // namespace
}  // namespace gradstab
