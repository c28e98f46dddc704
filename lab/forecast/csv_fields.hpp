// Rows of fields out of text with separators and quotes.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "gradstab/status.hpp"

namespace gradstab::lab::forecast {

/// The separator of a table: whichever of comma, semicolon and tab stands most often in its first line
/// outside quotes, the comma where there is none.
char separator_of(std::string_view text);

/// Reads rows one after the other.
class CsvRows {
 public:
  CsvRows(std::string_view text, char separator) : rest_(text), separator_(separator) {}

  /// Whether there is another row.
  bool next_exists() const noexcept { return !rest_.empty(); }

  /// Replaces `fields` by those of the next row, without quotes and without blanks around them. Errors, with
  /// line and column: quotes that do not end, bytes behind the closing quote, a carriage return within a
  /// line.
  Status next(std::vector<std::string>& fields);

  /// The line on which the last row began, from 1.
  std::size_t line() const noexcept { return line_; }

 private:
  Status quoted_field(std::string& field, std::size_t column);
  bool at_line_end() const noexcept;
  void skip_line_end() noexcept;

  std::string_view rest_;
  char separator_;
  std::size_t line_ = 0;       // of the last row
  std::size_t next_line_ = 1;  // of the next byte
};

}  // namespace gradstab::lab::forecast
