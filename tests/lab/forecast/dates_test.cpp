#include "lab/forecast/dates.hpp"

#include <gtest/gtest.h>

namespace gradstab::lab::forecast {
namespace {

TEST(DatesTest, SecondsSince1970) {
  EXPECT_EQ(parse_date("1970-01-01"), 0);
  EXPECT_EQ(parse_date("1970-01-02 00:00:01"), 86401);
  EXPECT_EQ(parse_date("2016-07-01 02:00:00"), 1467338400);  // date -u -d '2016-07-01 02:00' +%s
  EXPECT_EQ(parse_date("2016/7/1 2:00"), 1467338400);
  EXPECT_EQ(parse_date("2016-07-01T02:00"), 1467338400);
  EXPECT_EQ(parse_date("1969-12-31 23:59:59"), -1);
  EXPECT_EQ(*parse_date("2020-03-01") - *parse_date("2020-02-28"), 2 * 86400);
}

TEST(DatesTest, OtherTextsAreNoDates) {
  for (const char* text :
       {"", "2016", "2016-07", "2016-07-01 ", "2016-07-01 2", "2016-07-01 24:00", "2016-07-01 02:60",
        "2016-07-01 02:00:60", "2016-07-01 02:00:00Z", "2016-13-01", "2019-02-29", "2016-07/01", "01.07.2016",
        "16-07-01", "20160-7-1", "2016-007-01", " 2016-07-01"})
    EXPECT_FALSE(parse_date(text)) << text;
}

TEST(DatesTest, StepsInTheLargestUnit) {
  EXPECT_EQ(step_text(86400), "1 day");
  EXPECT_EQ(step_text(7200), "2 hours");
  EXPECT_EQ(step_text(900), "15 minutes");
  EXPECT_EQ(step_text(61), "61 seconds");
}

}  // namespace
}  // namespace gradstab::lab::forecast
