// Messages: what becomes of their parts, and that the program's locale is none of them.
#include "core/base/text.hpp"

#include <gtest/gtest.h>

#include <cstdint>
#include <limits>
#include <locale>
#include <sstream>
#include <string>
#include <string_view>

namespace gradstab::detail {
namespace {

TEST(Text, JoinsTextsAndNumbers) {
  const std::string name = "weight";
  EXPECT_EQ(concat("parameter '", name, "' has ", 3, " of ", std::size_t{12}, std::string_view(" rows"), '.'),
            "parameter 'weight' has 3 of 12 rows.");
  EXPECT_EQ(concat(std::int64_t{std::numeric_limits<std::int64_t>::min()}, ' ', std::uint8_t{255}, ' ', -1),
            "-9223372036854775808 255 -1");
  EXPECT_EQ(concat(), "");
}

TEST(Text, WritesNumbersWithTenDigitsAtMost) {
  EXPECT_EQ(concat(1.0, ' ', 0.1, ' ', 0.1F, ' ', -2.5e-20, ' ', 1e300),
            "1 0.1 0.1000000015 -2.5e-20 1e+300");
  EXPECT_EQ(concat(1.0 / 3.0, ' ', 123456789012.0), "0.3333333333 1.23456789e+11");
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  EXPECT_EQ(concat(kInfinity, ' ', -kInfinity, ' ', std::numeric_limits<double>::quiet_NaN()),
            "inf -inf nan");
}

struct CommaForPoint : std::numpunct<char> {
  char do_decimal_point() const override { return ','; }
  char do_thousands_sep() const override { return '.'; }
  std::string do_grouping() const override { return "\3"; }
};

TEST(Text, DoesNotDependOnTheLocale) {
  const std::locale before = std::locale::global(std::locale(std::locale(), new CommaForPoint));
  std::ostringstream stream;
  stream << 1234567 << ' ' << 0.5;
  const std::string text = concat(1234567, ' ', 0.5);
  std::locale::global(before);
  EXPECT_EQ(stream.str(), "1.234.567 0,5");  // the control: this locale shows
  EXPECT_EQ(text, "1234567 0.5");
}

}  // namespace
}  // namespace gradstab::detail
