// Units as settings, the patterns of groups, and the map from units to segments.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <random>
#include <vector>

#include "core/step/unit_map.hpp"
#include "gradstab/options.hpp"
#include "support/gradients.hpp"

namespace gradstab {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

std::string refusal(const Units& units) {
  const Status status = units.validate();
  EXPECT_TRUE(status.ok() || status.code() == StatusCode::invalid_argument);
  return status.message();
}

TEST(UnitsTest, EveryFactoryIsValid) {
  EXPECT_TRUE(Units{}.validate().ok());
  EXPECT_TRUE(Units::per_tensor().validate().ok());
  EXPECT_TRUE(Units::per_row().validate().ok());
  EXPECT_TRUE(Units::whole_model().validate().ok());
  EXPECT_TRUE(Units::by_name({{"mlp", {"*.mlp.*"}}, {"rest", {"*"}}}).validate().ok());
}

TEST(UnitsTest, GroupsAndGranularityBelongTogether) {
  EXPECT_EQ(refusal({.granularity = Granularity::row, .groups = {{"g", {"*"}}}}),
            "groups are given, but granularity is 'row', expected 'group'");
  EXPECT_EQ(refusal({.granularity = Granularity::group}),
            "granularity 'group' needs at least one group, got none");
  EXPECT_EQ(refusal({.granularity = static_cast<Granularity>(4)}),
            "granularity must be tensor, row, group or model, got value 4");
}

TEST(UnitsTest, GroupsNeedUniqueNamesAndPatterns) {
  EXPECT_EQ(refusal(Units::by_name({{"a", {"x"}}, {"", {"y"}}})), "group 1 has an empty name");
  EXPECT_EQ(refusal(Units::by_name({{"a", {"x"}}, {"b", {}}})), "group 'b' has no patterns");
  EXPECT_EQ(refusal(Units::by_name({{"a", {"x"}}, {"b", {"y"}}, {"a", {"z"}}})),
            "group name 'a' is used twice; names must be unique");
}

TEST(UnitsTest, GranularitiesHaveNames) {
  EXPECT_EQ(to_string(Granularity::tensor), "tensor");
  EXPECT_EQ(to_string(Granularity::row), "row");
  EXPECT_EQ(to_string(Granularity::group), "group");
  EXPECT_EQ(to_string(Granularity::model), "model");
  EXPECT_EQ(to_string(static_cast<Granularity>(77)), "unknown");
}

TEST(PatternTest, AStarStandsForAnyCharactersAlsoNone) {
  EXPECT_TRUE(matches("layers.*.weight", "layers.0.weight"));
  EXPECT_TRUE(matches("layers.*.weight", "layers..weight"));
  EXPECT_TRUE(matches("layers.*.weight", "layers.0.mlp.weight")) << "dots are characters like any other";
  EXPECT_TRUE(matches("*", ""));
  EXPECT_TRUE(matches("**", "x"));
  EXPECT_TRUE(matches("a*", "a"));
  EXPECT_TRUE(matches("*a", "ba"));
  EXPECT_TRUE(matches("*b*", "abc"));
  EXPECT_FALSE(matches("layers.*.weight", "layers.weight"));
  EXPECT_FALSE(matches("layers.*.weight", "layers.0.weights"));
  EXPECT_FALSE(matches("*a", "ab"));
  EXPECT_FALSE(matches("a*", "ba"));
}

TEST(PatternTest, EverythingElseStandsForItself) {
  EXPECT_TRUE(matches("w.0", "w.0"));
  EXPECT_FALSE(matches("w.0", "wx0"));
  EXPECT_FALSE(matches("w?", "w1"));
  EXPECT_FALSE(matches("w[01]", "w1"));
  EXPECT_TRUE(matches("w[01]?\\", "w[01]?\\"));
  EXPECT_FALSE(matches("W", "w"));
  EXPECT_TRUE(matches("", ""));
  EXPECT_FALSE(matches("", "w"));
  EXPECT_FALSE(matches("w", ""));
  EXPECT_FALSE(matches("ww", "w"));
  EXPECT_TRUE(matches("a*c", "a*c")) << "a star in a name is a character";
}

/// By definition: a star takes nothing, or one character and stays.
bool matches_by_definition(std::string_view pattern, std::string_view text) {
  if (pattern.empty()) return text.empty();
  if (pattern[0] == '*') {
    return matches_by_definition(pattern.substr(1), text) ||
           (!text.empty() && matches_by_definition(pattern, text.substr(1)));
  }
  return !text.empty() && text[0] == pattern[0] && matches_by_definition(pattern.substr(1), text.substr(1));
}

TEST(PatternTest, AgreesWithTheDefinitionOnRandomPatterns) {
  std::mt19937 random(1);
  const auto word = [&](std::string_view letters, std::size_t longest) {
    std::string text(random() % (longest + 1), ' ');
    std::ranges::generate(text, [&] { return letters[random() % letters.size()]; });
    return text;
  };
  int matching = 0;
  for (int trial = 0; trial < 20000; ++trial) {
    const std::string pattern = word("ab**", 7);
    const std::string text = word("ab", 9);
    ASSERT_EQ(matches(pattern, text), matches_by_definition(pattern, text)) << pattern << " on " << text;
    matching += matches(pattern, text) ? 1 : 0;
  }
  EXPECT_GT(matching, 2000);
  EXPECT_LT(matching, 18000) << "both answers occur";
}

/// What backtracking over every star would take longer than the universe for.
TEST(PatternTest, APatternOfManyStarsTakesNoLongerThanThePatternTimesTheName) {
  std::string pattern;
  for (int i = 0; i < 500; ++i) pattern += "a*";
  const std::string name(20000, 'a');
  EXPECT_TRUE(matches(pattern, name));
  EXPECT_FALSE(matches(pattern + "b", name));
  EXPECT_FALSE(matches(std::string(1000, '*') + "b", name));
}

class UnitMapTest : public ::testing::Test {
 protected:
  /// Tensors of 1, 3, 2, 0 and 1 rows.
  const ParameterSet parameters_ = testing::parameter_set(
      {{"embed", {7}}, {"mlp.up", {3, 2}}, {"mlp.down", {2, 3}}, {"empty", {0, 4}}, {"scale", {}}});
  const Segments tensors_{parameters_, false};
  const Segments rows_{parameters_, true};

  std::vector<std::vector<std::size_t>> units_of(const Units& units, const Segments& segments) {
    const UnitMap map = UnitMap::create(units, parameters_, segments).value();
    std::vector<std::vector<std::size_t>> list;
    for (std::size_t unit = 0; unit < map.count(); ++unit) {
      if (map.identity()) {
        list.push_back({unit});
      } else {
        list.emplace_back(map.segments_of(unit).begin(), map.segments_of(unit).end());
      }
    }
    return list;
  }
  std::vector<std::vector<std::size_t>> units_of_tensors(const Units& units) {
    return units_of(units, tensors_);
  }
  std::vector<std::vector<std::size_t>> units_of_rows(const Units& units) { return units_of(units, rows_); }
};

TEST_F(UnitMapTest, TensorsOverTensorsAndRowsOverRowsAreTheSegmentsThemselves) {
  for (const auto& [units, segments] :
       {std::pair(Units::per_tensor(), &tensors_), {Units::per_row(), &rows_}}) {
    const UnitMap map = UnitMap::create(units, parameters_, *segments).value();
    EXPECT_TRUE(map.identity());
    EXPECT_EQ(map.count(), segments->count());
    EXPECT_EQ(map.units_within({1, 3}).begin, 1u);
    EXPECT_EQ(map.units_within({1, 3}).end, 3u);
  }
  EXPECT_EQ(rows_.count(), 7u);
}

TEST_F(UnitMapTest, TensorsOverRowsGatherTheRowsOfEachTensor) {
  EXPECT_THAT(units_of_rows(Units::per_tensor()), ElementsAre(ElementsAre(0), ElementsAre(1, 2, 3),
                                                              ElementsAre(4, 5), IsEmpty(), ElementsAre(6)));
}

TEST_F(UnitMapTest, UnitsWithinABatchAreThoseOfItsTensors) {
  const UnitMap map = UnitMap::create(Units::per_tensor(), parameters_, rows_).value();
  const auto within = [&](std::size_t begin_tensor, std::size_t end_tensor) {
    const IndexRange units = map.units_within({rows_.first()[begin_tensor], rows_.first()[end_tensor]});
    return std::pair(units.begin, units.end);
  };
  EXPECT_EQ(within(0, 5), std::pair(std::size_t{0}, std::size_t{5}));
  EXPECT_EQ(within(0, 2), std::pair(std::size_t{0}, std::size_t{2}));
  EXPECT_EQ(within(1, 3), std::pair(std::size_t{1}, std::size_t{3}));
  EXPECT_EQ(within(3, 4).first, within(3, 4).second) << "a tensor without rows has no work";
}

TEST_F(UnitMapTest, TheWholeModelIsOneUnit) {
  EXPECT_THAT(units_of_tensors(Units::whole_model()), ElementsAre(ElementsAre(0, 1, 2, 3, 4)));
  EXPECT_THAT(units_of_rows(Units::whole_model()), ElementsAre(ElementsAre(0, 1, 2, 3, 4, 5, 6)));
}

TEST_F(UnitMapTest, GroupsComeFirstAndTensorsInNoneFollowAlone) {
  const Units units = Units::by_name({{"mlp", {"mlp.*"}}, {"input", {"embed"}}});
  EXPECT_THAT(units_of_tensors(units),
              ElementsAre(ElementsAre(1, 2), ElementsAre(0), ElementsAre(3), ElementsAre(4)));
  EXPECT_THAT(units_of_rows(units),
              ElementsAre(ElementsAre(1, 2, 3, 4, 5), ElementsAre(0), IsEmpty(), ElementsAre(6)));
  const UnitMap map = UnitMap::create(units, parameters_, tensors_).value();
  EXPECT_THAT(map.names(), ElementsAre("mlp", "input", "empty", "scale"));
  EXPECT_EQ(map.group_count(), 2u);
}

TEST_F(UnitMapTest, TheFirstGroupThatMatchesHasTheTensor) {
  EXPECT_THAT(units_of_tensors(Units::by_name({{"up", {"*.up", "scale"}}, {"rest", {"*"}}})),
              ElementsAre(ElementsAre(1, 4), ElementsAre(0, 2, 3)));
}

TEST_F(UnitMapTest, AGroupWithoutMembersIsAnErrorThatNamesIt) {
  const auto message = [&](const Units& units) {
    const auto map = UnitMap::create(units, parameters_, tensors_);
    EXPECT_EQ(map.status().code(), StatusCode::invalid_argument);
    return map.status().message();
  };
  EXPECT_EQ(message(Units::by_name({{"attention", {"*.attn.*"}}})),
            "no parameter belongs to group 'attention' (pattern '*.attn.*'); the first parameter is 'embed'");
  EXPECT_EQ(message(Units::by_name({{"all", {"*"}}, {"mlp", {"mlp.*"}}})),
            "no parameter belongs to group 'mlp' (pattern 'mlp.*'); the first parameter is 'embed'")
      << "an earlier group has taken its members";
}

TEST_F(UnitMapTest, AGroupOfTensorsWithoutElementsHasMembers) {
  EXPECT_THAT(units_of_rows(Units::by_name({{"nothing", {"empty"}}, {"rest", {"*"}}})),
              ElementsAre(IsEmpty(), ElementsAre(0, 1, 2, 3, 4, 5, 6)));
}

TEST_F(UnitMapTest, WithoutParametersGroupsAndTheModelAreUnitsWithoutMembers) {
  const ParameterSet none;
  const Segments segments(none, false);
  EXPECT_EQ(UnitMap::create(Units::whole_model(), none, segments).value().count(), 1u);
  EXPECT_EQ(UnitMap::create(Units::by_name({{"g", {"*"}}}), none, segments).value().count(), 1u);
  EXPECT_EQ(UnitMap::create(Units::per_tensor(), none, segments).value().count(), 0u);
  EXPECT_EQ(UnitMap::create(Units::per_row(), none, Segments(none, true)).value().count(), 0u);
}

}  // namespace
}  // namespace gradstab
