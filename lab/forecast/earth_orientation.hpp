// The rotation of the Earth, day by day since 1962, as a series: real data that a fresh Debian can have.
#pragma once

#include <array>
#include <string>
#include <string_view>

#include "gradstab/status.hpp"
#include "lab/forecast/series.hpp"

namespace gradstab::lab::forecast {

/// The source name that stands for the table of Debian's package python3-astropy.
inline constexpr std::string_view kEarthOrientationSource = "earth-orientation";

/// Where Debian's packages put the table, in the order in which they are looked at.
/// tools/earth_orientation.sh takes the one file out of the package, without the packages that an
/// installation would pull in.
inline constexpr std::array<std::string_view, 3> kEarthOrientationPlaces = {
    "/usr/lib/python3/dist-packages/astropy_iers_data/data/eopc04.1962-now",
    "/usr/lib/python3/dist-packages/astropy/utils/iers/data/eopc04.1962-now",
    "/usr/lib/python3/dist-packages/astropy/utils/iers/data/eopc04_IAU2000.62-now"};

/// Whether this looks like a table of the IERS's C04 series (Bizouard et al. 2019), of either layout: its
/// heading names the series.
bool is_earth_orientation(std::string_view text);

/// The series of a C04 table: one row a day and the channels "x" and "y" (the pole's position, arc seconds),
/// "UT1-TAI" and "LOD" (the day's length beyond 86,400 s), both in seconds. Both layouts are read, that of
/// IERS 14 C04 (fixed width, LOD behind UT1-UTC) and that of IERS 20 C04 (lines of heading begin with #, an
/// hour column, LOD last of the values), and recognised by the heading.
///
/// The tables hold UT1-UTC, in which UTC jumps: 27 leap seconds since 1972, and steps of a tenth of a second
/// and changes of rate before. They are no property of the Earth, and would carry three quarters of any
/// forecast's error. UT1-TAI is UT1-UTC minus TAI-UTC, by the table below.
///
/// `name` begins the messages. Errors: corrupt_data, with the line, for a heading of neither layout, missing
/// or unreadable numbers, and days that do not follow each other.
Result<Series> parse_earth_orientation(std::string_view text, const std::string& name);

/// TAI-UTC in seconds at 0 h UTC of a modified Julian day from 37665 (1962-01-01) on (USNO, tai-utc.dat;
/// there was no leap second after 2017-01-01 until November 2026).
double tai_minus_utc(double modified_julian_day) noexcept;

}  // namespace gradstab::lab::forecast
