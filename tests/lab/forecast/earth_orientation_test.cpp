// A few rows of both layouts of the IERS's C04 tables, as they are published.
#include "lab/forecast/earth_orientation.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <string>
#include <string_view>

#include "lab/forecast/read_series.hpp"
#include "tests/lab/support/test_folder.hpp"

namespace gradstab::lab::forecast {
namespace {

using ::testing::DoubleNear;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

const std::string kHeading14 =
    "               EARTH ORIENTATION PARAMETER (EOP) PRODUCT CENTER CENTER (PARIS OBSERVATORY)\n"
    "                                    EOP (IERS) 14 C04 TIME SERIES                 \n"
    "\n"
    "             FORMAT(3(I4),I7,2(F11.6),2(F12.7),2(F11.6),2(F11.6),2(F11.7),2(F12.6))\n"
    "      Date      MJD      x          y        UT1-UTC       LOD         dX        dY        x Err\n"
    "     (0h UTC)\n"
    "\n";
// The day before the first leap second but one, and that day: UT1-UTC jumps by a second.
const std::string kDay1 =
    "1972   6  30  41498  -0.057151   0.371249  -0.6349935   0.0027070   0.000000   0.000000   0.015000   "
    "0.015000  0.0019000  0.0007000    0.001989    0.002000\n";
const std::string kDay2 =
    "1972   7   1  41499  -0.054050   0.372950   0.3621956   0.0029080   0.000000   0.000000   0.015000   "
    "0.015000  0.0019000  0.0007000    0.001989    0.002000\n";

const std::string kTable20 =
    "# EARTH ORIENTATION PARAMETER (EOP) PRODUCT CENTER CENTER (PARIS OBSERVATORY)\n"
    "# EOP (IERS) 20 C04 TIME SERIES  consistent with ITRF 2020 - sampled at 0h UTC     \n"
    "# YR  MM  DD  HH       MJD        x(\")        y(\")  UT1-UTC(s)       dX(\")       dY(\")  "
    "xrt(\"/day)\n"
    "1962   1   1   0  37665.00   -0.012700    0.213000   0.0326338    0.000000    0.000000    0.000000    "
    "0.000000   0.0017230    0.030000    0.030000   0.0020000    0.004774    0.002000    0.000000    "
    "0.000000   "
    "0.0014000\n"
    "1962   1   2   0  37666.00   -0.015900    0.214100   0.0320547    0.000000    0.000000    0.000000    "
    "0.000000   0.0016690    0.030000    0.030000   0.0020000    0.004774    0.002000    0.000000    "
    "0.000000   "
    "0.0014000\n";

std::string refused(const std::string& text) {
  const auto series = parse_earth_orientation(text, "eop");
  EXPECT_FALSE(series.ok());
  if (series.ok()) return "accepted";
  EXPECT_EQ(series.status().code(), StatusCode::corrupt_data);
  return series.status().message();
}

TEST(EarthOrientationTest, TheOlderLayoutWithoutItsLeapSecond) {
  const auto series = parse_earth_orientation(kHeading14 + kDay1 + kDay2, "eop");
  ASSERT_TRUE(series.ok()) << series.status().message();
  EXPECT_EQ(series->name, "earth-orientation");
  EXPECT_THAT(series->channels, ElementsAre("x", "y", "UT1-TAI", "LOD"));
  EXPECT_THAT(series->dates, ElementsAre("1972-06-30", "1972-07-01"));
  EXPECT_THAT(series->values, ElementsAre(-0.057151, 0.371249, DoubleNear(-10.6349935, 1e-12), 0.0027070,
                                          -0.054050, 0.372950, DoubleNear(-10.6378044, 1e-12), 0.0029080));
  // What is left is the day's length; UT1-UTC itself moves by +0.997.
  EXPECT_NEAR(series->value(1, 2) - series->value(0, 2), -0.0028, 1e-4);
}

TEST(EarthOrientationTest, TheNewerLayout) {
  const auto series = parse_earth_orientation(kTable20, "eop");
  ASSERT_TRUE(series.ok()) << series.status().message();
  EXPECT_THAT(series->dates, ElementsAre("1962-01-01", "1962-01-02"));
  EXPECT_THAT(series->values,
              ElementsAre(-0.0127, 0.213, DoubleNear(0.0326338 - 1.8458580, 1e-12), 0.0017230, -0.0159,
                          0.2141, DoubleNear(0.0320547 - 1.8458580 - 0.0011232, 1e-12), 0.0016690));
}

TEST(EarthOrientationTest, TaiMinusUtc) {
  EXPECT_DOUBLE_EQ(tai_minus_utc(37665), 1.8458580);
  EXPECT_DOUBLE_EQ(tai_minus_utc(38394), 1.9458580 + 729 * 0.0011232);
  EXPECT_DOUBLE_EQ(tai_minus_utc(38395), 3.2401300 - 366 * 0.001296);
  EXPECT_EQ(tai_minus_utc(41317), 10);  // 1972-01-01
  EXPECT_EQ(tai_minus_utc(41498), 10);
  EXPECT_EQ(tai_minus_utc(41499), 11);  // 1972-07-01
  EXPECT_EQ(tai_minus_utc(57753), 36);
  EXPECT_EQ(tai_minus_utc(57754), 37);  // 2017-01-01
  EXPECT_EQ(tai_minus_utc(61000), 37);
  // UTC was steered in steps of a tenth of a second at most before 1972, and of one second since.
  for (int day = 37666; day < 41317; ++day)
    EXPECT_LT(std::abs(tai_minus_utc(day) - tai_minus_utc(day - 1)), 0.11) << day;
}

TEST(EarthOrientationTest, WhatIsNoTableIsRefused) {
  EXPECT_FALSE(is_earth_orientation("date,load\n2016-07-01,1\n"));
  EXPECT_TRUE(is_earth_orientation(kTable20));
  EXPECT_EQ(refused("date,load\n"),
            "eop: the heading names neither 'EOP (IERS) 14 C04' nor 'EOP (IERS) 20 C04'");
  EXPECT_EQ(refused(kHeading14), "eop: there is no row of numbers below the heading");
  EXPECT_EQ(refused(kHeading14 + kDay1 + kDay1), "eop: line 9: day 41498 follows day 41498, expected 41499");
  EXPECT_EQ(refused(kHeading14 + kDay1 + "text\n"), "eop: line 9 does not begin with a year");
  EXPECT_EQ(refused(kHeading14 + kDay1.substr(0, 50) + "\n"),
            "eop: line 8 has 7 fields, expected 8 at least");
  EXPECT_EQ(refused(kHeading14 + "1972   6  30  41498  -0.057151   0.37x249  -0.6349935   0.0027070\n"),
            "eop: line 8, field 6: '0.37x249' is not a number");
  EXPECT_EQ(refused(kHeading14 + "1961   1   1  37300  0 0 0 0\n"),
            "eop: line 8: the modified Julian day is 37300, expected a whole one from 37665 on");
}

class ReadSeriesTest : public FolderTest {};

TEST_F(ReadSeriesTest, TheFormatIsSeenAndTheFileHashed) {
  const auto table = read_series(make("eop", kTable20).string());
  ASSERT_TRUE(table.ok()) << table.status().message();
  EXPECT_EQ(table->name, "earth-orientation");
  EXPECT_EQ(table->channel_count(), 4);

  const auto csv = read_series(make("ETTh9.csv", "a,b\n1,2\n3,5\n").string());
  ASSERT_TRUE(csv.ok()) << csv.status().message();
  EXPECT_EQ(csv->name, "ETTh9");
  // printf 'a,b\n1,2\n3,5\n' | sha256sum
  EXPECT_EQ(csv->sha256, "9b0bc5e9980d2eef2b9ffea55e1eb967c39deb7f04fc7dddb1952a595b9210ff");
}

TEST_F(ReadSeriesTest, TheNameFindsTheTableOfThePackage) {
  const std::string old_table = make("old", kHeading14 + kDay1 + kDay2).string();
  const std::string new_table = make("new", kTable20).string();
  const std::string nothing = (folder_ / "nothing").string();
  const std::array<std::string_view, 3> places = {nothing, new_table, old_table};
  EXPECT_EQ(locate_series("earth-orientation", places).value(), new_table);
  EXPECT_EQ(locate_series(old_table, places).value(), old_table);
  const auto found = read_series("earth-orientation", places);
  ASSERT_TRUE(found.ok()) << found.status().message();
  EXPECT_EQ(found->dates.front(), "1962-01-01");
  const auto missing = read_series("earth-orientation", std::span(places).first(1));
  ASSERT_FALSE(missing.ok());
  EXPECT_EQ(missing.status().code(), StatusCode::io_error);
  EXPECT_EQ(missing.status().message(),
            "the table of the Earth's orientation was not found; install the Debian package python3-astropy, "
            "or extract the file from it with tools/earth_orientation.sh FILE and pass FILE, or pass a table "
            "of your own; looked for '" +
                nothing + "'");
}

TEST_F(ReadSeriesTest, FilesThatCannotBeReadAreNamed) {
  EXPECT_EQ(read_series("").status().code(), StatusCode::invalid_argument);
  const auto missing = read_series((folder_ / "none.csv").string());
  EXPECT_EQ(missing.status().code(), StatusCode::io_error);
  EXPECT_THAT(missing.status().message(), HasSubstr("none.csv"));
  const auto folder = read_series(folder_.string());
  EXPECT_EQ(folder.status().code(), StatusCode::io_error);
}

}  // namespace
}  // namespace gradstab::lab::forecast
