// Every reader of JSON, given documents in which each value in turn has every other type: what is refused is
// refused in our own words, which name the field, and nothing crashes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <exception>
#include <string>
#include <vector>

#include "json_readers.hpp"

namespace gradstab::lab {
namespace {

using ::testing::AnyOf;
using ::testing::HasSubstr;
using ::testing::Not;

/// Pointers to every value of a document, itself included.
void collect(const Json& value, const Json::json_pointer& at, std::vector<Json::json_pointer>& places) {
  places.push_back(at);
  if (!value.is_structured()) return;
  for (const auto& [key, member] : value.items())
    collect(member, value.is_object() ? at / key : at / std::stoul(key), places);
}

const std::vector<Json> kOthers = {nullptr,
                                   true,
                                   false,
                                   0,
                                   7,
                                   -7,
                                   1.5,
                                   -1e300,
                                   18446744073709551615u,
                                   "",
                                   "word",
                                   "nan",
                                   Json::array(),
                                   {1, "x"},
                                   Json::object(),
                                   {{"a", 1}},
                                   {{{"a", {nullptr}}}}};

/// The names on the way to a value, without the numbers in lists; of the whole document those of its members.
std::vector<std::string> names_on(Json::json_pointer at, const Json& document) {
  std::vector<std::string> names;
  if (at.empty() && document.is_object())
    for (const auto& [key, member] : document.items()) names.push_back(key);
  for (; !at.empty(); at.pop_back()) {
    const std::string name = at.back();
    if (name.find_first_not_of("0123456789") != std::string::npos) names.push_back(name);
  }
  return names;
}

void expect_our_words(const Status& status, const Reader& reader, const Json::json_pointer& at,
                      const std::string& text) {
  const std::string& message = status.message();
  EXPECT_FALSE(message.empty()) << text;
  EXPECT_THAT(message, Not(AnyOf(HasSubstr("json.exception"), HasSubstr("_error."), HasSubstr("type must be"),
                                 HasSubstr("\n"))));
  std::vector<std::string> words = names_on(at, reader.valid);
  words.insert(words.end(), reader.says_of_foreign.begin(), reader.says_of_foreign.end());
  words.emplace_back("case '");           // of a recording, the case is named
  words.emplace_back("unknown setting");  // as is a setting that should not be there
  EXPECT_TRUE(std::ranges::any_of(
      words, [&](const std::string& word) { return message.find(word) != std::string::npos; }))
      << at.to_string() << ": " << message;
}

class WrongTypesTest : public ::testing::TestWithParam<Reader> {
 protected:
  Status read(const std::string& text) const {
    const TestFolder folder;
    try {
      return GetParam().read(folder, text);
    } catch (const std::exception& error) {
      ADD_FAILURE() << "threw " << error.what() << " at " << text;
      return {};
    }
  }
};

TEST_P(WrongTypesTest, TheDocumentItselfIsTaken) {
  const Status status = read(GetParam().valid.dump());
  EXPECT_TRUE(status.ok()) << status.message();
}

TEST_P(WrongTypesTest, EveryOtherTypeAnywhereIsRefusedInOurWordsOrTaken) {
  std::vector<Json::json_pointer> places;
  collect(GetParam().valid, Json::json_pointer(), places);
  std::vector<std::string> refused;
  for (const Json::json_pointer& at : places) {
    for (const Json& other : kOthers) {
      Json document = GetParam().valid;
      if (document.at(at) == other) continue;
      document.at(at) = other;
      const Status status = read(document.dump());
      if (status.ok()) continue;
      refused.push_back(at.to_string());
      expect_our_words(status, GetParam(), at, document.dump());
    }
  }
  for (const std::string& place : GetParam().checked)
    EXPECT_GT(std::ranges::count(refused, place), 0) << place << " is not checked";
}

TEST_P(WrongTypesTest, EveryMemberMayBeMissing) {
  std::vector<Json::json_pointer> places;
  collect(GetParam().valid, Json::json_pointer(), places);
  for (const Json::json_pointer& at : places) {
    if (at.empty()) continue;
    Json document = GetParam().valid;
    Json& parent = document.at(at.parent_pointer());
    if (!parent.is_object()) continue;
    parent.erase(at.back());
    const Status status = read(document.dump());
    if (!status.ok()) expect_our_words(status, GetParam(), at, document.dump());
  }
}

TEST_P(WrongTypesTest, DeepNestingIsRefusedBeforeAnythingRecursesIntoIt) {
  constexpr int kLevels = 100'000;
  std::string lists(kLevels, '[');
  lists += std::string(kLevels, ']');
  std::string objects;
  for (int i = 0; i < kLevels; ++i) objects += "{\"a\":";
  objects += "1" + std::string(kLevels, '}');
  std::vector<Json::json_pointer> places;
  collect(GetParam().valid, Json::json_pointer(), places);
  for (const Json::json_pointer& at : places) {
    for (const std::string& deep : {lists, objects, std::string(kLevels, '[')}) {
      Json document = GetParam().valid;
      document.at(at) = "@";
      std::string text = document.dump();
      text.replace(text.find("\"@\""), 3, deep);
      const Status status = read(text);
      if (GetParam().checked.empty()) continue;  // nothing of it is looked at; that it returns is the test
      EXPECT_FALSE(status.ok());
      // Brackets in the place of the whole document may be refused for not being an object.
      EXPECT_TRUE(status.message().find("nested too deep") != std::string::npos ||
                  (at.empty() && status.message().find("JSON object") != std::string::npos))
          << status.message();
    }
  }
}

TEST_P(WrongTypesTest, EveryTruncationIsRefusedInOurWords) {
  const std::string text = GetParam().valid.dump();
  for (std::size_t length = 0; length < text.size(); length += 1 + text.size() / 200) {
    const Status status = read(text.substr(0, length));
    EXPECT_THAT(status.message(), Not(HasSubstr("json.exception"))) << length;
  }
}

INSTANTIATE_TEST_SUITE_P(All, WrongTypesTest, ::testing::ValuesIn(all_readers()),
                         [](const auto& test) { return test.param.name; });

}  // namespace
}  // namespace gradstab::lab
