// JSON by type: what is read, what is refused, and in which words.
#include "lab/support/json.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

namespace gradstab::lab {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

std::string refused(std::string_view text, std::size_t most_bytes = kMostJsonBytes) {
  const auto parsed = parse_json(text, "a.json", most_bytes);
  EXPECT_FALSE(parsed.ok());
  EXPECT_EQ(parsed.status().code(), StatusCode::corrupt_data);
  return parsed.status().message();
}

TEST(ParseJsonTest, SaysWhereTheTextStopsBeingJson) {
  EXPECT_EQ(refused("{\"a\": 1,\n \"b\": }"),
            "a.json: expected JSON, but it does not parse from line 2, column 7 on");
  EXPECT_EQ(refused("[1, 2"), "a.json: expected JSON, but it does not parse from column 6 on");
  EXPECT_EQ(refused(""), "a.json: expected JSON, but it does not parse from column 1 on");
  EXPECT_EQ(refused("\"\xff\""), "a.json: expected JSON, but it does not parse from column 2 on");
  EXPECT_EQ(refused("[1e999]"), "a.json: holds a number that is too large for 64-bit floating point");
  EXPECT_EQ(parse_json("{\"a\": [1, null]}", "a.json").value(), (Json{{"a", {1, nullptr}}}));
}

TEST(ParseJsonTest, LimitsDepthWithoutCountingBracketsInTexts) {
  const auto nested = [](int levels) {
    return std::string(static_cast<std::size_t>(levels), '[') +
           std::string(static_cast<std::size_t>(levels), ']');
  };
  EXPECT_TRUE(parse_json(nested(kDeepestJson), "").ok());
  EXPECT_EQ(refused(nested(kDeepestJson + 1)),
            "a.json: is nested too deep: expected at most 64 levels of lists and objects");
  EXPECT_THAT(refused(nested(100'000)), HasSubstr("nested too deep"));
  // Unclosed, and of objects.
  std::string objects;
  for (int i = 0; i < 100'000; ++i) objects += "{\"a\":";
  EXPECT_THAT(refused(objects), HasSubstr("nested too deep"));
  EXPECT_TRUE(parse_json(std::string("\"") + nested(1000) + "\\\"[[[\"", "").ok())
      << "brackets in a text are text";
  std::string wide = "[";
  for (int i = 0; i < 1000; ++i) wide += "[],";
  EXPECT_TRUE(parse_json(wide + "[]]", "").ok()) << "beside each other is not inside each other";
}

TEST(ParseJsonTest, LimitsSize) {
  EXPECT_TRUE(parse_json("[1, 2]", "", 6).ok());
  EXPECT_EQ(refused("[1, 2]", 5), "a.json: is too large: 6 bytes of JSON, expected at most 5");
}

TEST(ParseJsonTest, AnObjectIsAskedForByName) {
  EXPECT_EQ(parse_json_object("[1]", "a.json").status().message(),
            "a.json: expected a JSON object, found array");
  EXPECT_TRUE(parse_json_object("{}", "a.json").ok());
}

TEST(ShownTest, IsOneShortLine) {
  EXPECT_EQ(shown(Json{{"a", {1, "x"}}}), R"({"a":[1,"x"]})");
  EXPECT_EQ(shown(Json("line\nü\x1b[31m")), R"("line\n\u00fc\u001b[31m")");
  EXPECT_EQ(shown(Json(std::string(1000, 'x'))), std::string("\"") + std::string(59, 'x') + "...");
  Json large = Json::array();
  for (int i = 0; i < 100'000; ++i) large.push_back(i);
  EXPECT_EQ(shown(large).size(), 63u);
  EXPECT_THAT(shown(large), ::testing::StartsWith("[0,1,2,3,"));
  EXPECT_THAT(shown(Json("\xff")), HasSubstr("\\ufffd"));
}

TEST(JsonReaderTest, ReadsEachType) {
  const Json document = {{"number", 2.5},   {"whole", -3},         {"large", 18446744073709551615u},
                         {"truth", true},   {"text", "word"},      {"list", {1.5, nullptr, 2}},
                         {"null", nullptr}, {"object", {{"x", 1}}}};
  const JsonReader json(document, "a.json");
  EXPECT_EQ(json["number"].number(), 2.5);
  EXPECT_EQ(json["whole"].number(), -3.0);
  EXPECT_EQ(json["whole"].whole(), -3);
  std::uint64_t large = 0;
  json["large"].read(large);
  EXPECT_EQ(large, 18446744073709551615u);
  EXPECT_TRUE(json["truth"].truth());
  EXPECT_EQ(json["text"].text(), "word");
  const auto list = json["list"].numbers();
  EXPECT_EQ(list[0], 1.5);
  EXPECT_TRUE(std::isnan(list[1]));
  EXPECT_EQ(json["list"].item(2).whole(), 2);
  EXPECT_EQ(json["object"]["x"].whole(), 1);
  EXPECT_THAT(json["object"].keys(), ElementsAre("x"));
  for (const char* key : {"null", "absent"}) {
    EXPECT_FALSE(json[key].exists());
    EXPECT_TRUE(std::isnan(json[key].number_or_nan()));
    EXPECT_EQ(json[key].whole_or(7), 7);
    EXPECT_TRUE(json[key].truth_or(true));
    EXPECT_EQ(json[key].text_or("x"), "x");
    EXPECT_TRUE(json[key].object_or_empty().empty());
  }
  EXPECT_TRUE(json.status().ok()) << json.status().message();
}

std::string complaint(const Json& document, void (*read)(const JsonReader&)) {
  const JsonReader json(document, "run.json");
  read(json);
  EXPECT_EQ(json.status().code(), StatusCode::corrupt_data);
  return json.status().message();
}

TEST(JsonReaderTest, NamesTheFieldAndWhatItHolds) {
  const Json document = {{"settings", {{"lr", "x"}, {"steps", 1.5}}}, {"list", {1, {{"a", true}}}}};
  EXPECT_EQ(complaint(document, [](const JsonReader& json) { json["settings"]["lr"].number(); }),
            "run.json: settings.lr must be a number, got \"x\"");
  EXPECT_EQ(complaint(document, [](const JsonReader& json) { json["settings"]["steps"].whole(); }),
            "run.json: settings.steps must be a whole number, got 1.5");
  EXPECT_EQ(complaint(document, [](const JsonReader& json) { json["settings"]["seed"].whole(0); }),
            "run.json: settings.seed must be a whole number of at least 0, got nothing");
  EXPECT_EQ(complaint(document, [](const JsonReader& json) { json["list"].item(1)["a"].text(); }),
            "run.json: list[1].a must be a text, got true");
  EXPECT_EQ(complaint(document, [](const JsonReader& json) { json["list"]["a"].text(); }),
            "run.json: list must be an object, got [1,{\"a\":true}]");
  EXPECT_EQ(complaint(document, [](const JsonReader& json) { json["settings"].size(); }),
            "run.json: settings must be a list, got {\"lr\":\"x\",\"steps\":1.5}");
  EXPECT_EQ(complaint(document, [](const JsonReader& json) { json["list"].numbers(); }),
            "run.json: list[1] must be a number or null, got {\"a\":true}");
  EXPECT_EQ(complaint("text", [](const JsonReader& json) { json["a"].text(); }),
            "run.json: it must be an object, got \"text\"");
}

TEST(JsonReaderTest, KeepsTheFirstComplaint) {
  const Json document = {{"a", 1}, {"b", 2}};
  const JsonReader json(document, "");
  json["a"].text();
  json["b"].text();
  EXPECT_EQ(json.status().message(), "a must be a text, got 1");
}

TEST(JsonReaderTest, WholeNumbersMustFit) {
  const Json document = {{"beyond", 9223372036854775808u}, {"negative", -1}, {"point", 3.0}, {"large", 1e20}};
  for (const char* key : {"beyond", "point", "large"}) {
    const JsonReader json(document, "");
    json[key].whole();
    EXPECT_THAT(json.status().message(), AllOf(HasSubstr(key), HasSubstr("must be a whole number")));
  }
  const JsonReader json(document, "");
  std::uint64_t field = 5;
  json["negative"].read(field);
  EXPECT_EQ(field, 5u) << "what does not fit changes nothing";
  EXPECT_EQ(json.status().message(), "negative must be a whole number of at least 0, got -1");
  const JsonReader narrow(document, "");
  int small = 5;
  narrow["beyond"].read(small);
  EXPECT_EQ(narrow.status().message(),
            "beyond must be a whole number from -2147483648 to 2147483647, got 9223372036854775808");
}

}  // namespace
}  // namespace gradstab::lab
