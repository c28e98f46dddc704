#include "lab/forecast/csv.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "lab/forecast/csv_fields.hpp"
#include "lab/forecast/dates.hpp"
#include "lab/support/numbers.hpp"
#include "lab/support/utf8.hpp"

namespace gradstab::lab::forecast {
namespace {

constexpr std::size_t kLongestShown = 40;
/// Sums of squares of such numbers are far from the limits of double.
constexpr double kLargestMagnitude = 1e30;

std::string lower_case(std::string_view text) {
  std::string lower(text);
  for (char& byte : lower)
    if (byte >= 'A' && byte <= 'Z') byte = static_cast<char>(byte - 'A' + 'a');
  return lower;
}

bool is_date_name(std::string_view name) {
  constexpr std::array<std::string_view, 4> kNames = {"date", "datetime", "time", "timestamp"};
  return std::ranges::find(kNames, lower_case(name)) != kNames.end();
}

bool is_missing(std::string_view field) {
  constexpr std::array<std::string_view, 8> kWords = {"", "na", "n/a", "nan", "null", "none", "?", "-"};
  return std::ranges::find(kWords, lower_case(field)) != kWords.end();
}

/// A field for a message: valid UTF-8 on one line, cut where it is long.
std::string shown(std::string_view field) {
  std::string text;
  append_valid_utf8(field.substr(0, kLongestShown), text);
  std::ranges::replace_if(
      text, [](unsigned char byte) { return byte < 0x20 || byte == 0x7f; }, ' ');
  return fmt::format("'{}{}'", text, field.size() > kLongestShown ? "..." : "");
}

/// Turns rows of fields into a series, and remembers what it has seen.
class SeriesBuilder {
 public:
  explicit SeriesBuilder(std::string name) : name_(std::move(name)) { series_.name = name_; }

  Status header(const std::vector<std::string>& fields, std::size_t line) {
    std::map<std::string, std::size_t> first_column;
    std::size_t numbers = 0;
    for (std::size_t i = 0; i < fields.size(); ++i) {
      std::string name;
      append_valid_utf8(fields[i], name);
      names_.push_back(name);
      if (name.empty()) return wrong(line, i, "has no name");
      if (const auto [other, is_new] = first_column.emplace(name, i); !is_new)
        return wrong(line, i, fmt::format("has the name of column {}", other->second + 1));
      if (parse_number<double>(name)) ++numbers;
      if (!is_date_name(name)) {
        series_.channels.push_back(name);
      } else if (date_column_) {
        return wrong(
            line, i,
            fmt::format("holds dates, and so does column {}; expected one such column", *date_column_ + 1));
      } else {
        date_column_ = i;
      }
    }
    if (numbers == names_.size())
      return refuse(fmt::format("line {} holds only numbers, expected the names of the columns", line));
    if (series_.channels.empty()) return refuse(fmt::format("line {} names no column of numbers", line));
    return {};
  }

  Status row(const std::vector<std::string>& fields, std::size_t line) {
    if (fields.size() != names_.size())
      return refuse(fmt::format("line {} has {} field{}, expected {} as in the first line", line,
                                fields.size(), fields.size() == 1 ? "" : "s", names_.size()));
    for (std::size_t i = 0; i < fields.size(); ++i) {
      if (i == date_column_) {
        GRADSTAB_RETURN_IF_ERROR(date(fields[i], line, i));
      } else if (is_missing(fields[i])) {
        if (missing_++ == 0) first_missing_ = wrong(line, i, "the value is missing");
        series_.values.push_back(0);
      } else {
        GRADSTAB_RETURN_IF_ERROR(number(fields[i], line, i));
      }
    }
    return {};
  }

  Result<Series> finish() {
    if (series_.rows() == 0) return refuse("there is no row of numbers below the names of the columns");
    if (missing_ > 0)
      return Status(
          StatusCode::corrupt_data,
          missing_ == 1
              ? first_missing_.message() +
                    ", the only missing one; fill it in, or leave out its row or column"
              : fmt::format(
                    "{}, the first of {} missing ones; fill them in, or leave out their rows or columns",
                    first_missing_.message(), missing_));
    GRADSTAB_RETURN_IF_ERROR(note_constant_channels());
    note_uneven_steps();
    return std::move(series_);
  }

  Status refuse(std::string_view what) const {
    return {StatusCode::corrupt_data, fmt::format("{}: {}", name_, what)};
  }

 private:
  Status wrong(std::size_t line, std::size_t column, std::string_view what) const {
    const std::string& name = names_[column];
    return refuse(fmt::format("line {}, column {}{}: {}", line, column + 1,
                              name.empty() ? "" : fmt::format(" ({})", shown_name(name)), what));
  }
  static std::string shown_name(const std::string& name) {
    const std::string quoted = shown(name);
    return quoted.substr(1, quoted.size() - 2);
  }

  Status number(const std::string& field, std::size_t line, std::size_t column) {
    const auto value = parse_number<double>(
        field.starts_with('+') && !field.starts_with("+-") ? std::string_view(field).substr(1) : field);
    if (!value) {
      const bool decimal_comma = field.find(',') != std::string::npos &&
                                 field.find_first_not_of("0123456789+-.,eE") == std::string::npos;
      return wrong(
          line, column,
          fmt::format("{} is not a number{}", shown(field),
                      decimal_comma ? "; expected a decimal point and no other separator in it" : ""));
    }
    if (!std::isfinite(*value)) return wrong(line, column, fmt::format("{} is not finite", shown(field)));
    if (std::abs(*value) > kLargestMagnitude)
      return wrong(line, column, fmt::format("{} is beyond {}", shown(field), kLargestMagnitude));
    series_.values.push_back(*value);
    return {};
  }

  Status date(const std::string& field, std::size_t line, std::size_t column) {
    const auto seconds = parse_date(field);
    if (!seconds)
      return wrong(line, column, fmt::format("{} is not a date like 2016-07-01 02:00:00", shown(field)));
    if (!times_.empty() && *seconds <= times_.back())
      return wrong(line, column,
                   fmt::format("{} {} {} of line {}; expected a later one", shown(field),
                               *seconds == times_.back() ? "is the same time as" : "comes before",
                               shown(series_.dates.back()), last_line_));
    times_.push_back(*seconds);
    lines_.push_back(line);
    last_line_ = line;
    series_.dates.push_back(field);
    return {};
  }

  Status note_constant_channels() {
    std::int64_t constant = 0;
    for (std::int64_t channel = 0; channel < series_.channel_count(); ++channel) {
      const double first = series_.value(0, channel);
      std::int64_t row = 1;
      while (row < series_.rows() && series_.value(row, channel) == first) ++row;
      if (row < series_.rows()) continue;
      ++constant;
      series_.notes.push_back(fmt::format("column '{}' is {} in every row",
                                          series_.channels[static_cast<std::size_t>(channel)], first));
    }
    if (constant == series_.channel_count())
      return refuse("every column holds the same value in every row, there is nothing to forecast");
    return {};
  }

  void note_uneven_steps() {
    if (times_.size() < 3) return;
    std::map<std::int64_t, std::int64_t> counts;
    for (std::size_t i = 1; i < times_.size(); ++i) ++counts[times_[i] - times_[i - 1]];
    const auto usual = std::ranges::max_element(counts, {}, [](const auto& entry) { return entry.second; });
    const auto others = static_cast<std::int64_t>(times_.size()) - 1 - usual->second;
    if (others == 0) return;
    std::size_t i = 1;
    while (times_[i] - times_[i - 1] == usual->first) ++i;
    series_.notes.push_back(
        fmt::format("{} of {} steps between rows {} not {}; the first of these is {}, before line {}; rows "
                    "count as evenly spaced",
                    others, times_.size() - 1, others == 1 ? "is" : "are", step_text(usual->first),
                    step_text(times_[i] - times_[i - 1]), lines_[i]));
  }

  std::string name_;
  Series series_;
  std::vector<std::string> names_;
  std::optional<std::size_t> date_column_;
  std::vector<std::int64_t> times_;
  std::vector<std::size_t> lines_;
  std::size_t last_line_ = 0;
  std::int64_t missing_ = 0;
  Status first_missing_;
};

bool is_blank(const std::vector<std::string>& fields) {
  return fields.size() == 1 && fields[0].empty();
}

}  // namespace

Result<Series> parse_csv(std::string_view text, const std::string& name) {
  SeriesBuilder builder(name);
  if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);
  if (text.starts_with("\xFF\xFE") || text.starts_with("\xFE\xFF"))
    return builder.refuse("the text is UTF-16, expected UTF-8");
  if (text.find_first_not_of(" \t\r\n") == std::string_view::npos)
    return builder.refuse("the table is empty");
  CsvRows rows(text, separator_of(text));
  std::vector<std::string> fields;
  std::size_t blank_line = 0;
  for (bool is_header = true; rows.next_exists(); is_header = false) {
    if (const Status status = rows.next(fields); !status.ok()) return builder.refuse(status.message());
    if (is_blank(fields)) {
      if (is_header) return builder.refuse("line 1 is blank, expected the names of the columns");
      if (blank_line == 0) blank_line = rows.line();
      continue;
    }
    if (blank_line != 0)
      return builder.refuse(fmt::format("line {} is blank, and rows follow it", blank_line));
    GRADSTAB_RETURN_IF_ERROR(is_header ? builder.header(fields, rows.line())
                                       : builder.row(fields, rows.line()));
  }
  return builder.finish();
}

}  // namespace gradstab::lab::forecast
