#include "lab/forecast/csv_fields.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

namespace gradstab::lab::forecast {
namespace {

Status wrong_at(std::size_t line, std::size_t column, std::string_view what) {
  return {StatusCode::corrupt_data, fmt::format("line {}, column {}: {}", line, column, what)};
}

std::string_view without_blanks(std::string_view text) {
  const std::size_t first = text.find_first_not_of(" \t");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

}  // namespace

char separator_of(std::string_view text) {
  constexpr std::array kSeparators = {',', ';', '\t'};
  std::array<std::size_t, kSeparators.size()> counts{};
  bool in_quotes = false;
  for (const char byte : text) {
    if (byte == '\n' && !in_quotes) break;
    if (byte == '"') in_quotes = !in_quotes;
    const auto found = std::ranges::find(kSeparators, byte);
    if (!in_quotes && found != kSeparators.end())
      ++counts[static_cast<std::size_t>(found - kSeparators.begin())];
  }
  return kSeparators[static_cast<std::size_t>(std::ranges::max_element(counts) - counts.begin())];
}

bool CsvRows::at_line_end() const noexcept {
  return rest_.empty() || rest_.front() == '\n' || rest_.starts_with("\r\n") || rest_ == "\r";
}

void CsvRows::skip_line_end() noexcept {
  if (rest_.starts_with('\r')) rest_.remove_prefix(1);
  if (rest_.starts_with('\n')) rest_.remove_prefix(1);
  ++next_line_;
}

Status CsvRows::quoted_field(std::string& field, std::size_t column) {
  const std::size_t first_line = next_line_;
  rest_.remove_prefix(1);
  for (;;) {
    const std::size_t end = rest_.find('"');
    if (end == std::string_view::npos)
      return wrong_at(first_line, column, "a quote begins here and never ends");
    const std::string_view part = rest_.substr(0, end);
    next_line_ += static_cast<std::size_t>(std::ranges::count(part, '\n'));
    field += part;
    rest_.remove_prefix(end + 1);
    if (!rest_.starts_with('"')) break;
    field += '"';
    rest_.remove_prefix(1);
  }
  while (!rest_.empty() && rest_.front() != separator_ && (rest_.front() == ' ' || rest_.front() == '\t'))
    rest_.remove_prefix(1);
  if (!at_line_end() && rest_.front() != separator_)
    return wrong_at(next_line_, column,
                    "bytes stand behind the closing quote, expected a separator or the line's end");
  return {};
}

Status CsvRows::next(std::vector<std::string>& fields) {
  fields.clear();
  line_ = next_line_;
  for (;;) {
    const std::size_t column = fields.size() + 1;
    std::string field;
    const std::size_t blanks = rest_.find_first_not_of(separator_ == '\t' ? " " : " \t");
    if (blanks != std::string_view::npos && rest_[blanks] == '"') {
      rest_.remove_prefix(blanks);
      GRADSTAB_RETURN_IF_ERROR(quoted_field(field, column));
    } else {
      const std::string_view stops = separator_ == ',' ? ",\r\n" : separator_ == ';' ? ";\r\n" : "\t\r\n";
      const std::string_view bytes = rest_.substr(0, rest_.find_first_of(stops));
      rest_.remove_prefix(bytes.size());
      field = without_blanks(bytes);
    }
    fields.push_back(std::move(field));
    if (at_line_end()) break;
    if (rest_.front() != separator_)
      return wrong_at(next_line_, column,
                      "a carriage return stands within the line, expected LF or CRLF at its end");
    rest_.remove_prefix(1);
  }
  skip_line_end();
  return {};
}

}  // namespace gradstab::lab::forecast
