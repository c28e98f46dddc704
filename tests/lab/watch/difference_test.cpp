// What is sent, put in as live.js does, gives the new document; and it is no longer than need be.
#include "lab/watch/difference.hpp"

#include <gtest/gtest.h>

#include <random>

namespace gradstab::lab::watch {
namespace {

using nlohmann::json;

/// As `changed` of live.js.
json put_in(json value, const json& change) {
  if (change.is_array()) return change.at(0);
  for (const auto& [key, inner] : change.items()) {
    if (value.is_array()) {
      const std::size_t place = std::stoul(key);
      if (place == value.size()) value.push_back(nullptr);
      value.at(place) = put_in(value.at(place), inner);
    } else {
      value[key] = put_in(value.value(key, json()), inner);
    }
  }
  return value;
}

TEST(DifferenceTest, NothingBetweenWhatIsAlike) {
  for (const json& document : {json(), json(1), json::object(), json{{"a", {1, 2}}, {"b", {{{"c", 1}}}}}})
    EXPECT_EQ(difference(document, document), std::nullopt);
}

TEST(DifferenceTest, OnlyWhatIsAnother) {
  const json before = {{"runs", {{{"label", "a"}, {"x", {1, 2}}}, {{"label", "b"}, {"x", {1}}}}},
                       {"groups", json::array()}};
  json after = before;
  after["runs"][1]["x"] = {1, 2, 3};
  EXPECT_EQ(difference(before, after), (json{{"runs", {{"1", {{"x", json::array({{1, 2, 3}})}}}}}}));
  after["runs"].push_back({{"label", "c"}});
  const json more = *difference(before, after);
  EXPECT_EQ(more["runs"].size(), 2u);
  EXPECT_EQ(more["runs"]["2"], json::array({{{"label", "c"}}}));
  EXPECT_EQ(put_in(before, more), after);
}

TEST(DifferenceTest, WhatHasGoneIsSentAsAWhole) {
  const json before = {{"runs", {{{"label", "a"}}, {{"label", "b"}}}}, {"x", 1}};
  const json after = {{"runs", {{{"label", "b"}}}}, {"x", 1}};
  EXPECT_EQ(difference(before, after), (json{{"runs", json::array({after["runs"]})}}));
  EXPECT_EQ(difference(before, json{{"x", 1}}), json::array({json{{"x", 1}}}));
}

json any_document(std::mt19937& draw, int depth) {
  switch (draw() % (depth == 0 ? 2 : 4)) {
    case 0:
      return draw() % 3;
    case 1:
      return std::string(draw() % 2, 'x');
    case 2: {
      json list = json::array();
      for (unsigned i = draw() % 4; i > 0; --i) list.push_back(any_document(draw, depth - 1));
      return list;
    }
    default: {
      json object = json::object();
      for (unsigned i = draw() % 4; i > 0; --i)
        object[std::string(1, static_cast<char>('a' + draw() % 3))] = any_document(draw, depth - 1);
      return object;
    }
  }
}

TEST(DifferenceTest, PutInGivesTheOther) {
  std::mt19937 draw(7);
  int changes_of_parts = 0;
  for (int i = 0; i < 20'000; ++i) {
    const json before = any_document(draw, 4), after = any_document(draw, 4);
    const auto change = difference(before, after);
    ASSERT_EQ(change.has_value(), before != after) << before << after;
    if (!change) continue;
    ASSERT_EQ(put_in(before, *change), after) << before << after << *change;
    changes_of_parts += change->is_object() ? 1 : 0;
  }
  EXPECT_GT(changes_of_parts, 500);
}

}  // namespace
}  // namespace gradstab::lab::watch
