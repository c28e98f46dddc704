// What a CSV file may and may not be, rule by rule (lab/forecast/csv.hpp).
#include "lab/forecast/csv.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <string>
#include <string_view>

#include "lab/support/hashing.hpp"

namespace gradstab::lab::forecast {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr std::string_view kPlain =
    "date,load,oil\n2016-07-01 00:00:00,1.5,-2\n2016-07-01 01:00:00,2.5,3e1\n2016-07-01 02:00:00,0,4\n";

Series good(std::string_view text) {
  Result<Series> series = parse_csv(text, "t.csv");
  EXPECT_TRUE(series.ok()) << series.status().message();
  return series.ok() ? *series : Series{};
}
std::string refused(std::string_view text) {
  const Result<Series> series = parse_csv(text, "t.csv");
  EXPECT_FALSE(series.ok());
  if (series.ok()) return "accepted";
  EXPECT_EQ(series.status().code(), StatusCode::corrupt_data);
  return series.status().message();
}
std::string replaced(std::string text, const std::string& from, const std::string& to) {
  for (std::size_t at = 0; (at = text.find(from, at)) != std::string::npos; at += to.size())
    text.replace(at, from.size(), to);
  return text;
}

void expect_plain(const Series& series) {
  EXPECT_THAT(series.channels, ElementsAre("load", "oil"));
  EXPECT_THAT(series.values, ElementsAre(1.5, -2, 2.5, 30, 0, 4));
  EXPECT_THAT(series.dates, ElementsAre("2016-07-01 00:00:00", "2016-07-01 01:00:00", "2016-07-01 02:00:00"));
  EXPECT_THAT(series.notes, IsEmpty());
}

TEST(CsvTest, NamesDatesAndNumbers) {
  const Series series = good(kPlain);
  expect_plain(series);
  EXPECT_EQ(series.rows(), 3);
  EXPECT_EQ(series.channel_count(), 2);
  EXPECT_EQ(series.value(1, 1), 30);
}

TEST(CsvTest, LinesMayEndWithCrLf) {
  expect_plain(good(replaced(std::string(kPlain), "\n", "\r\n")));
}
TEST(CsvTest, TheLastLineMayHaveNoEnd) {
  expect_plain(good(kPlain.substr(0, kPlain.size() - 1)));
  expect_plain(good(replaced(std::string(kPlain), "\n", "\r\n").substr(0, kPlain.size() + 2)));
}
TEST(CsvTest, AByteOrderMarkIsSkipped) {
  expect_plain(good("\xEF\xBB\xBF" + std::string(kPlain)));
}
TEST(CsvTest, SemicolonsAndTabsSeparate) {
  expect_plain(good(replaced(std::string(kPlain), ",", ";")));
  expect_plain(good(replaced(std::string(kPlain), ",", "\t")));
}
TEST(CsvTest, FieldsMayBeQuoted) {
  expect_plain(good(
      "\"date\",\"load\",\"oil\"\n\"2016-07-01 00:00:00\",\"1.5\",-2\n2016-07-01 01:00:00,\"2.5\" , \"3e1\"\n"
      "2016-07-01 02:00:00,0,4\n"));
}
TEST(CsvTest, QuotesHoldSeparatorsQuotesAndLineEnds) {
  const Series series = good("\"load, \"\"kW\"\"\";\"a;b\nc\"\n1;2\n3;4\n");
  EXPECT_THAT(series.channels, ElementsAre("load, \"kW\"", "a;b\nc"));
  EXPECT_THAT(series.values, ElementsAre(1, 2, 3, 4));
  // Lines are counted through quoted line ends.
  EXPECT_EQ(refused("\"a;b\nc\";d\n1;2\n3;x\n"), "t.csv: line 4, column 2 (d): 'x' is not a number");
}
TEST(CsvTest, BlanksAroundFieldsDoNotCount) {
  expect_plain(good(replaced(replaced(std::string(kPlain), ",", " ,\t"), "\n", " \n")));
}
TEST(CsvTest, DatesAreOptionalAndMayStandAnywhere) {
  EXPECT_THAT(good("a,b\n1,2\n3,4\n").dates, IsEmpty());
  const Series last = good("a,Time\n1,2016/7/1 0:15\n2,2016/7/1 0:30\n");
  EXPECT_THAT(last.channels, ElementsAre("a"));
  EXPECT_THAT(last.dates, ElementsAre("2016/7/1 0:15", "2016/7/1 0:30"));
}
TEST(CsvTest, NamesThatAreNotUtf8AreReadAsWindows1252) {
  EXPECT_THAT(good("T (\xB0\x43)\n1\n2\n").channels, ElementsAre("T (\xC2\xB0\x43)"));
}

TEST(CsvTest, MissingValuesAreRefusedAndCounted) {
  EXPECT_EQ(refused("a,b\n1,2\n3,\n5,6\n"),
            "t.csv: line 3, column 2 (b): the value is missing, the only missing one; fill it in, or leave "
            "out its row or column");
  for (const char* word : {"NA", "n/a", "NaN", "null", "None", "?", "-", "\"\"", "  "})
    EXPECT_EQ(refused(std::string("a,b\n1,2\n") + word + ",4\n5," + word + "\n"),
              "t.csv: line 3, column 1 (a): the value is missing, the first of 2 missing ones; fill them in, "
              "or leave out their rows or columns")
        << word;
}
TEST(CsvTest, TextAmongNumbersIsRefused) {
  EXPECT_EQ(refused("a,b\n1,2\n3,abc\n"), "t.csv: line 3, column 2 (b): 'abc' is not a number");
  EXPECT_EQ(refused("a,b\n1,2x\n"), "t.csv: line 2, column 2 (b): '2x' is not a number");
  EXPECT_EQ(refused("a;b\n1;2,5\n"),
            "t.csv: line 2, column 2 (b): '2,5' is not a number; expected a decimal point and no other "
            "separator in it");
  EXPECT_EQ(refused("a\n0x10\n"), "t.csv: line 2, column 1 (a): '0x10' is not a number");
  // A fault is reported before values that are missing above it.
  EXPECT_EQ(refused("a,b\n1,\n3,abc\n"), "t.csv: line 3, column 2 (b): 'abc' is not a number");
  // What is shown is one line of printable UTF-8.
  EXPECT_EQ(refused("a\n\x1b[2J\xff\n"), "t.csv: line 2, column 1 (a): ' [2J\xC3\xBF' is not a number");
}
TEST(CsvTest, NumbersAreFinite) {
  EXPECT_EQ(refused("a,b\n1,inf\n"), "t.csv: line 2, column 2 (b): 'inf' is not finite");
  EXPECT_THAT(refused("a,b\n1,1e999\n"),
              ::testing::StartsWith("t.csv: line 2, column 2 (b): '1e999' is not"));
  EXPECT_EQ(refused("a,b\n1,-2e30\n"), "t.csv: line 2, column 2 (b): '-2e30' is beyond 1e+30");
  EXPECT_THAT(good("a,b\n+1.5,-0\n2,3\n").values, ElementsAre(1.5, 0, 2, 3));
}
TEST(CsvTest, RowsHaveAsManyFieldsAsNames) {
  EXPECT_EQ(refused("a,b\n1,2\n3\n"), "t.csv: line 3 has 1 field, expected 2 as in the first line");
  EXPECT_EQ(refused("a,b\n1,2,3\n"), "t.csv: line 2 has 3 fields, expected 2 as in the first line");
  EXPECT_EQ(refused("a,b\n1,2,\n"), "t.csv: line 2 has 3 fields, expected 2 as in the first line");
}
TEST(CsvTest, DatesComeInOrderAndOnce) {
  EXPECT_EQ(refused("date,a\n2020-01-01,1\n2020-01-03,2\n2020-01-02,3\n"),
            "t.csv: line 4, column 1 (date): '2020-01-02' comes before '2020-01-03' of line 3; expected a "
            "later one");
  EXPECT_EQ(refused("date,a\n2020-01-01,1\n2020-01-01 00:00,2\n"),
            "t.csv: line 3, column 1 (date): '2020-01-01 00:00' is the same time as '2020-01-01' of line 2; "
            "expected a "
            "later one");
  EXPECT_EQ(refused("date,a\n2020-02-30,1\n"),
            "t.csv: line 2, column 1 (date): '2020-02-30' is not a date like 2016-07-01 02:00:00");
  EXPECT_EQ(refused("date,a\n,1\n"),
            "t.csv: line 2, column 1 (date): '' is not a date like 2016-07-01 02:00:00");
  EXPECT_EQ(refused("a,date,Time\n1,2,3\n"),
            "t.csv: line 1, column 3 (Time): holds dates, and so does column 2; expected one such column");
}
TEST(CsvTest, StepsOfOtherLengthsAreNoted) {
  EXPECT_THAT(good("date,a\n2020-01-01,1\n2020-01-02,2\n2020-01-03,3\n2020-01-05,4\n").notes,
              ElementsAre("1 of 3 steps between rows is not 1 day; the first of these is 2 days, before line "
                          "5; rows count as evenly spaced"));
}
TEST(CsvTest, ConstantColumnsAreNoted) {
  EXPECT_THAT(good("a,b\n1,7\n2,7\n3,7\n").notes, ElementsAre("column 'b' is 7 in every row"));
  EXPECT_EQ(refused("a,b\n1,7\n1,7\n"),
            "t.csv: every column holds the same value in every row, there is nothing to forecast");
}
TEST(CsvTest, TheFirstLineNamesTheColumns) {
  EXPECT_EQ(refused("1,2\n3,4\n"), "t.csv: line 1 holds only numbers, expected the names of the columns");
  EXPECT_EQ(refused("a,,c\n1,2,3\n"), "t.csv: line 1, column 2: has no name");
  EXPECT_EQ(refused("a,b,a\n1,2,3\n"), "t.csv: line 1, column 3 (a): has the name of column 1");
  EXPECT_EQ(refused("date\n2020-01-01\n"), "t.csv: line 1 names no column of numbers");
  EXPECT_EQ(refused("\na\n1\n"), "t.csv: line 1 is blank, expected the names of the columns");
  // A year among names is a name.
  EXPECT_THAT(good("2019,b\n1,2\n3,4\n").channels, ElementsAre("2019", "b"));
}
TEST(CsvTest, BlankLinesStandAtTheEndOnly) {
  EXPECT_THAT(good("a\n1\n2\n\n \r\n").values, ElementsAre(1, 2));
  EXPECT_EQ(refused("a\n1\n\n2\n"), "t.csv: line 3 is blank, and rows follow it");
}
TEST(CsvTest, QuotesEnd) {
  EXPECT_EQ(refused("a,b\n1,\"2\n3,4\n"), "t.csv: line 2, column 2: a quote begins here and never ends");
  EXPECT_EQ(refused("a,b\n1,\"2\"3\n"),
            "t.csv: line 2, column 2: bytes stand behind the closing quote, expected a separator or the "
            "line's end");
}
TEST(CsvTest, CarriageReturnsStandBeforeLineFeeds) {
  EXPECT_EQ(
      refused("a,b\n1,2\r3,4\n"),
      "t.csv: line 2, column 2: a carriage return stands within the line, expected LF or CRLF at its end");
}
TEST(CsvTest, ThereIsATableOfUtf8) {
  EXPECT_EQ(refused(""), "t.csv: the table is empty");
  EXPECT_EQ(refused("\xEF\xBB\xBF\r\n"), "t.csv: the table is empty");
  EXPECT_EQ(refused("a,b\n"), "t.csv: there is no row of numbers below the names of the columns");
  EXPECT_EQ(refused(std::string_view("\xFF\xFE\x61\x00", 4)), "t.csv: the text is UTF-16, expected UTF-8");
}

// Whatever the bytes are: a series that keeps its promises, or a refusal in our own words.
TEST(CsvTest, DamagedTablesAreReadOrRefused) {
  std::uint64_t state = 1;
  const auto draw = [&](std::size_t below) {
    state = mix64(state);
    return static_cast<std::size_t>(state % below);
  };
  constexpr std::string_view kBytes = ",;\t\"\r\n -.eE+0123456789aNn\xFF\xEF";
  int accepted = 0;
  for (int i = 0; i < 20000; ++i) {
    std::string text(kPlain);
    for (std::size_t change = 0; change < 1 + draw(4); ++change) {
      const std::size_t at = draw(text.size());
      const char byte = draw(50) == 0 ? '\0' : kBytes[draw(kBytes.size())];
      const std::size_t how = draw(4);
      if (how == 0) text[at] = byte;
      if (how == 1) text.insert(at, 1, byte);
      if (how == 2) text.erase(at, 1 + draw(10));
      if (how == 3) text.resize(at);
      if (text.empty()) text = "x";
    }
    const Result<Series> series = parse_csv(text, "t.csv");
    if (!series) {
      ASSERT_TRUE(series.status().message().starts_with("t.csv: ")) << series.status().message();
      continue;
    }
    ++accepted;
    ASSERT_GT(series->channel_count(), 0);
    ASSERT_EQ(series->values.size(), static_cast<std::size_t>(series->rows() * series->channel_count()));
    ASSERT_TRUE(series->dates.empty() || static_cast<std::int64_t>(series->dates.size()) == series->rows());
    for (const double value : series->values) ASSERT_LE(std::abs(value), 1e30);
  }
  // Digits that become other digits are no damage that can be seen.
  EXPECT_GT(accepted, 500);
  EXPECT_LT(accepted, 10000);
}

}  // namespace
}  // namespace gradstab::lab::forecast
