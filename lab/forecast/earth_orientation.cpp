#include "lab/forecast/earth_orientation.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <utility>
#include <vector>

#include "lab/support/numbers.hpp"

namespace gradstab::lab::forecast {
namespace {

namespace chrono = std::chrono;

constexpr int kModifiedJulianDayOf1970 = 40587;

constexpr int modified_julian_day(int year, unsigned month, unsigned day) {
  const chrono::sys_days date = chrono::year{year} / static_cast<int>(month) / static_cast<int>(day);
  return static_cast<int>(date.time_since_epoch().count()) + kModifiedJulianDayOf1970;
}

/// TAI-UTC = offset + (day - origin) * rate from `since` on, in seconds and days.
struct UtcSegment {
  int since;
  double offset;
  int origin;
  double rate;
};
constexpr std::array kBefore1972 = {
    UtcSegment{37665, 1.8458580, 37665, 0.0011232}, UtcSegment{38334, 1.9458580, 37665, 0.0011232},
    UtcSegment{38395, 3.2401300, 38761, 0.001296},  UtcSegment{38486, 3.3401300, 38761, 0.001296},
    UtcSegment{38639, 3.4401300, 38761, 0.001296},  UtcSegment{38761, 3.5401300, 38761, 0.001296},
    UtcSegment{38820, 3.6401300, 38761, 0.001296},  UtcSegment{38942, 3.7401300, 38761, 0.001296},
    UtcSegment{39004, 3.8401300, 38761, 0.001296},  UtcSegment{39126, 4.3131700, 39126, 0.002592},
    UtcSegment{39887, 4.2131700, 39126, 0.002592}};

/// The days on which TAI-UTC became 10, 11, 12, ... seconds.
constexpr std::array kLeapSeconds = {
    modified_julian_day(1972, 1, 1), modified_julian_day(1972, 7, 1), modified_julian_day(1973, 1, 1),
    modified_julian_day(1974, 1, 1), modified_julian_day(1975, 1, 1), modified_julian_day(1976, 1, 1),
    modified_julian_day(1977, 1, 1), modified_julian_day(1978, 1, 1), modified_julian_day(1979, 1, 1),
    modified_julian_day(1980, 1, 1), modified_julian_day(1981, 7, 1), modified_julian_day(1982, 7, 1),
    modified_julian_day(1983, 7, 1), modified_julian_day(1985, 7, 1), modified_julian_day(1988, 1, 1),
    modified_julian_day(1990, 1, 1), modified_julian_day(1991, 1, 1), modified_julian_day(1992, 7, 1),
    modified_julian_day(1993, 7, 1), modified_julian_day(1994, 7, 1), modified_julian_day(1996, 1, 1),
    modified_julian_day(1997, 7, 1), modified_julian_day(1999, 1, 1), modified_julian_day(2006, 1, 1),
    modified_julian_day(2009, 1, 1), modified_julian_day(2012, 7, 1), modified_julian_day(2015, 7, 1),
    modified_julian_day(2017, 1, 1)};
constexpr double kTaiMinusUtcOf1972 = 10;

/// Where a layout has what is read, counted in fields from 0.
struct Layout {
  std::string_view mark;  // in the heading
  std::size_t day, x, y, ut1_utc, length_of_day;
};
constexpr std::array kLayouts = {Layout{"EOP (IERS) 14 C04", 3, 4, 5, 6, 7},
                                 Layout{"EOP (IERS) 20 C04", 4, 5, 6, 7, 12}};

/// How much of the text the heading can be.
constexpr std::size_t kHeadingBytes = 4096;

const Layout* layout_of(std::string_view text) {
  const auto found = std::ranges::find_if(kLayouts, [&](const Layout& layout) {
    return text.substr(0, kHeadingBytes).find(layout.mark) != std::string_view::npos;
  });
  return found == kLayouts.end() ? nullptr : &*found;
}

std::vector<std::string_view> words(std::string_view line) {
  std::vector<std::string_view> list;
  for (std::size_t begin; (begin = line.find_first_not_of(" \t\r")) != std::string_view::npos;) {
    line.remove_prefix(begin);
    const std::size_t end = std::min(line.find_first_of(" \t\r"), line.size());
    list.push_back(line.substr(0, end));
    line.remove_prefix(end);
  }
  return list;
}

/// A row of numbers begins with a year, lines of the heading do not.
bool is_row(const std::vector<std::string_view>& fields) {
  return !fields.empty() && fields[0].size() == 4 &&
         std::ranges::all_of(fields[0], [](char byte) { return byte >= '0' && byte <= '9'; });
}

std::string date_text(int day) {
  const chrono::year_month_day date{chrono::sys_days{chrono::days{day - kModifiedJulianDayOf1970}}};
  return fmt::format("{:04}-{:02}-{:02}", static_cast<int>(date.year()), static_cast<unsigned>(date.month()),
                     static_cast<unsigned>(date.day()));
}

}  // namespace

double tai_minus_utc(double day) noexcept {
  if (day >= kLeapSeconds[0])
    return kTaiMinusUtcOf1972 - 1 +
           static_cast<double>(std::ranges::count_if(kLeapSeconds, [&](int since) { return day >= since; }));
  const UtcSegment* segment = &kBefore1972[0];
  for (const UtcSegment& candidate : kBefore1972)
    if (day >= candidate.since) segment = &candidate;
  return segment->offset + (day - segment->origin) * segment->rate;
}

bool is_earth_orientation(std::string_view text) {
  return layout_of(text) != nullptr;
}

Result<Series> parse_earth_orientation(std::string_view text, const std::string& name) {
  const auto refuse = [&](std::string_view what) {
    return Status(StatusCode::corrupt_data, fmt::format("{}: {}", name, what));
  };
  const Layout* const layout = layout_of(text);
  if (layout == nullptr)
    return refuse(fmt::format("the heading names neither '{}' nor '{}'", kLayouts[0].mark, kLayouts[1].mark));
  Series series;
  series.name = kEarthOrientationSource;
  series.channels = {"x", "y", "UT1-TAI", "LOD"};
  double last_day = 0;
  std::size_t line_number = 0;
  while (!text.empty()) {
    const std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(line.size() + 1, text.size()));
    ++line_number;
    const auto fields = words(line);
    if (!is_row(fields)) {
      if (series.dates.empty() || fields.empty()) continue;
      return refuse(fmt::format("line {} does not begin with a year", line_number));
    }
    const auto number = [&](std::size_t field) -> Result<double> {
      if (field >= fields.size())
        return refuse(fmt::format("line {} has {} fields, expected {} at least", line_number, fields.size(),
                                  layout->length_of_day + 1));
      auto value = parse_number<double>(fields[field]);
      if (!value || !std::isfinite(*value))
        return refuse(
            fmt::format("line {}, field {}: '{}' is not a number", line_number, field + 1, fields[field]));
      return value;
    };
    std::array<double, 5> values{};
    const std::array places = {layout->day, layout->x, layout->y, layout->ut1_utc, layout->length_of_day};
    for (std::size_t i = 0; i < places.size(); ++i) {
      const auto value = number(places[i]);
      if (!value) return value.status();
      values[i] = *value;
    }
    const auto [day, x, y, ut1_utc, length_of_day] = values;
    if (day < kBefore1972[0].since || day > 1e6 || day != std::floor(day))
      return refuse(fmt::format("line {}: the modified Julian day is {}, expected a whole one from {} on",
                                line_number, day, kBefore1972[0].since));
    if (!series.dates.empty() && day != last_day + 1)
      return refuse(fmt::format("line {}: day {} follows day {}, expected {}", line_number, day, last_day,
                                last_day + 1));
    last_day = day;
    series.dates.push_back(date_text(static_cast<int>(day)));
    for (const double value : {x, y, ut1_utc - tai_minus_utc(day), length_of_day})
      series.values.push_back(value);
  }
  if (series.dates.empty()) return refuse("there is no row of numbers below the heading");
  return series;
}

}  // namespace gradstab::lab::forecast
