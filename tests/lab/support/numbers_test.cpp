#include "lab/support/numbers.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace gradstab::lab {
namespace {

template <class T>
std::string refused(std::string_view text) {
  T field = 7;
  const Status status = read_value(text, field);
  EXPECT_FALSE(status.ok()) << text;
  EXPECT_EQ(status.code(), StatusCode::invalid_argument);
  EXPECT_EQ(field, T(7)) << "an error changes nothing";
  return status.message();
}

TEST(NumbersTest, AreExactlyWhatIsWritten) {
  EXPECT_EQ(parse_number<std::int64_t>("9223372036854775807").value(), 9223372036854775807);
  EXPECT_EQ(parse_number<std::int64_t>("-9223372036854775808").value(),
            std::numeric_limits<std::int64_t>::min());
  EXPECT_EQ(parse_number<std::uint64_t>("18446744073709551615").value(), 18446744073709551615u);
  EXPECT_EQ(parse_number<int>("-2147483648").value(), std::numeric_limits<int>::min());
  EXPECT_EQ(parse_number<std::int64_t>("010").value(), 10) << "not octal";
  EXPECT_EQ(parse_number<double>("0.1").value(), 0.1);
  EXPECT_EQ(parse_number<double>("1e-3").value(), 1e-3);
  EXPECT_EQ(parse_number<double>("1e+30").value(), 1e30);
  EXPECT_EQ(parse_number<double>("5e-324").value(), 5e-324) << "subnormal numbers are numbers";
  EXPECT_TRUE(std::isnan(parse_number<double>("nan").value()));
  EXPECT_EQ(parse_number<double>("-inf").value(), -std::numeric_limits<double>::infinity());
}

TEST(NumbersTest, WholeNumbersAreNothingElse) {
  for (const char* text :
       {"", " ", "1 ", " 1", "+1", "1e3", "1.0", "0x10", "ten", "1,000", "--1", "-", "nan"})
    EXPECT_EQ(refused<std::int64_t>(text), "expected a whole number, got '" + std::string(text) + "'");
  EXPECT_EQ(refused<std::int64_t>("99999999999999999999"),
            "expected a whole number from -9223372036854775808 to 9223372036854775807, got "
            "'99999999999999999999'");
  EXPECT_EQ(refused<int>("2147483648"),
            "expected a whole number from -2147483648 to 2147483647, got '2147483648'");
  EXPECT_EQ(refused<std::uint64_t>("-1"), "expected a whole number of at least 0, got '-1'");
  EXPECT_EQ(refused<std::uint64_t>("18446744073709551616"),
            "expected a whole number from 0 to 18446744073709551615, got '18446744073709551616'");
}

TEST(NumbersTest, NumbersAreNothingElse) {
  for (const char* text : {"", " 1", "1 ", "+1", "0x1p3", "1e", "1.5.2", "fast", "NaN", "INF", "infinity",
                           "-nan", "nan(7)", "1,5"})
    EXPECT_EQ(refused<double>(text), "expected a number, got '" + std::string(text) + "'");
  for (const char* text : {"1e999", "-1e999", "1e-999"})
    EXPECT_EQ(refused<double>(text),
              "expected a number that 64-bit floating point can hold, got '" + std::string(text) + "'");
}

TEST(NumbersTest, TruthIsWrittenInWords) {
  bool field = false;
  EXPECT_TRUE(read_value("true", field).ok());
  EXPECT_TRUE(field);
  EXPECT_EQ(read_value("1", field).message(), "expected true or false, got '1'");
  EXPECT_TRUE(field);
}

}  // namespace
}  // namespace gradstab::lab
