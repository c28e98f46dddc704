// Series out of CSV files.
//
// Own code, since Debian has no reader of CSV for C++ that knows the number of columns only at run time and
// says where in the file something is wrong.
#pragma once

#include <string>
#include <string_view>

#include "gradstab/status.hpp"
#include "lab/forecast/series.hpp"

namespace gradstab::lab::forecast {

/// The series in a table of text (RFC 4180): a line of column names, then a row of numbers per line. Rules:
///   - Lines end with LF or CRLF. A byte order mark of UTF-8 before the first line is skipped. What is not
///     UTF-8 in a name is read as Windows-1252.
///   - The separator is whichever of comma, semicolon and tab the first line has most of outside quotes.
///   - A field may stand in double quotes, where "" is one quote. Blanks around a field do not count.
///   - Every name is there, and none twice. Names that are all numbers are refused: a first row of data is no
///     header.
///   - A column named date, datetime, time or timestamp, in any case, holds the dates: year, month, day with
///     - or / between, then, after a blank or a T, hour:minute, or hour:minute:second. Later rows have later
///     dates. There is one such column at most; without it rows are taken to be in order and evenly spaced.
///     Where the steps between dates differ, a note says how often and where first.
///   - Every other column is a channel, and every field of it a number with a decimal point, of magnitude
///     1e30 at most.
///   - A missing value (an empty field, or NA, N/A, NaN, null, none, ? or -, in any case) is refused, and so
///   is
///     a row with more or fewer fields than there are names. Nothing is filled in.
///   - Blank lines at the end are skipped; elsewhere they are refused.
///   - A column whose values are all the same is a channel like any other (standardization.hpp says how it is
///     scaled); a note names it. A table of nothing else is refused.
/// `name` begins the messages and is the series' name. Errors: corrupt_data, with line and column counted
/// from 1, of the first thing that is wrong: "t.csv: line 3, column 2 (b): 'abc' is not a number". A
/// missing value is reported only if nothing else is wrong, with the number of all.
Result<Series> parse_csv(std::string_view text, const std::string& name);

}  // namespace gradstab::lab::forecast
