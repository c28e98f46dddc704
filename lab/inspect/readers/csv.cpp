#include "lab/inspect/readers/csv.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <vector>

#include "lab/inspect/readers/lines.hpp"
#include "lab/inspect/readers/log_number.hpp"
#include "lab/support/files.hpp"

namespace gradstab::lab::inspect {
namespace {

/// What separates the cells of a header; 0 where there is one cell alone.
char separator_of(std::string_view header) {
  bool quoted = false;
  std::size_t commas = 0, semicolons = 0, tabs = 0;
  for (const char c : header) {
    if (c == '"') quoted = !quoted;
    if (quoted) continue;
    commas += c == ',' ? 1 : 0;
    semicolons += c == ';' ? 1 : 0;
    tabs += c == '\t' ? 1 : 0;
  }
  const std::size_t most = std::max({commas, semicolons, tabs});
  if (most == 0) return '\0';
  return most == commas ? ',' : most == tabs ? '\t' : ';';
}

bool ends_inside_quotes(std::string_view row) {
  return std::ranges::count(row, '"') % 2 != 0;
}

/// Cuts rows into cells. Those in quotes are kept in memory of its own.
class Cells {
 public:
  const std::vector<std::string_view>& of(std::string_view row, char separator) {
    cells_.clear();
    if (row.find('"') == std::string_view::npos) {
      for (std::size_t end; (end = row.find(separator)) != std::string_view::npos; row.remove_prefix(end + 1))
        cells_.push_back(row.substr(0, end));
      cells_.push_back(row);
      return cells_;
    }
    // Views into a string that must not move: it is as long as it can get.
    unquoted_.clear();
    unquoted_.reserve(row.size());
    std::size_t at = 0;
    for (;;) {
      if (at < row.size() && row[at] == '"') {
        const std::size_t begin = unquoted_.size();
        for (++at; at < row.size(); ++at) {
          if (row[at] != '"') {
            unquoted_ += row[at];
          } else if (at + 1 < row.size() && row[at + 1] == '"') {
            unquoted_ += row[++at];
          } else {
            ++at;
            break;
          }
        }
        cells_.push_back(std::string_view(unquoted_).substr(begin));
        while (at < row.size() && row[at] != separator) ++at;
      } else {
        const std::size_t end = std::min(row.find(separator, at), row.size());
        cells_.push_back(row.substr(at, end - at));
        at = end;
      }
      if (at >= row.size()) return cells_;
      ++at;  // the separator
    }
  }

 private:
  std::vector<std::string_view> cells_;
  std::string unquoted_;
};

/// The number in a cell. Where semicolons separate cells, a comma is a decimal one, as spreadsheets write it
/// in many countries: "1.234,5".
std::optional<double> cell_number(std::string_view cell, char separator) {
  const std::size_t comma = separator == ';' ? cell.rfind(',') : std::string_view::npos;
  if (comma == std::string_view::npos || cell.find('.', comma) != std::string_view::npos)
    return log_number(cell);
  std::string plain;
  for (const char c : cell.substr(0, comma))
    if (c != '.') plain += c;
  plain += '.';
  plain += cell.substr(comma + 1);
  return log_number(plain);
}

/// Rows, which may go over several lines.
class RowReader {
 public:
  explicit RowReader(ByteStream& bytes) : lines_(bytes) {}

  std::optional<std::string_view> next() {
    auto line = lines_.next();
    if (!line) return line;
    first_line_ = lines_.number();
    if (!ends_inside_quotes(*line)) return line;
    joined_ = *line;
    while (ends_inside_quotes(joined_)) {
      line = lines_.next();
      if (!line || joined_.size() + line->size() > kLongestLine) {
        if (lines_.status().ok())
          status_ = {StatusCode::corrupt_data, fmt::format("the quote in line {} does not end", first_line_)};
        return std::nullopt;
      }
      joined_ += '\n';
      joined_ += *line;
    }
    return joined_;
  }

  std::size_t first_line() const noexcept { return first_line_; }
  bool cut_off() const noexcept { return !lines_.ended(); }
  Status status() const { return status_.ok() ? lines_.status() : status_; }

 private:
  LineReader lines_;
  std::string joined_;
  std::size_t first_line_ = 0;
  Status status_;
};

std::string trimmed(std::string_view text) {
  const std::size_t begin = text.find_first_not_of(" \t");
  if (begin == std::string_view::npos) return "";
  return std::string(text.substr(begin, text.find_last_not_of(" \t") - begin + 1));
}

}  // namespace

bool looks_like_csv(std::string_view front) {
  constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";
  if (front.starts_with(kByteOrderMark)) front.remove_prefix(kByteOrderMark.size());
  const std::string_view header = front.substr(0, front.find_first_of("\r\n"));
  const char separator = separator_of(header);
  // One name alone is that of a column where it can only be a norm.
  if (separator == '\0') return fit_as_norm(trimmed(header)).has_value();
  Cells cells;
  std::size_t names = 0;
  for (const std::string_view cell : cells.of(header, separator)) {
    if (cell.find_first_of("=:{}") != std::string_view::npos && !header.starts_with('"')) return false;
    if (!trimmed(cell).empty() && !log_number(cell)) ++names;
  }
  return names > 0;
}

Status csv_rows(const Source& source, TraceFacts& facts, RowSink& sink) {
  auto bytes = source();
  if (!bytes) return bytes.status();
  RowReader rows(**bytes);
  Cells cells;
  std::vector<std::string> names;
  char separator = '\0';
  std::optional<std::string_view> row;
  while (names.empty() && (row = rows.next())) {
    if (row->find_first_not_of(" \t") == std::string_view::npos) continue;
    separator = separator_of(*row);
    for (const std::string_view cell : cells.of(*row, separator == '\0' ? ',' : separator))
      names.push_back(trimmed(cell));
  }
  while ((row = rows.next())) {
    if (row->find_first_not_of(" \t") == std::string_view::npos) continue;
    const auto& of_row = cells.of(*row, separator == '\0' ? ',' : separator);
    if (of_row.size() > names.size()) {
      return {StatusCode::corrupt_data, fmt::format("line {} has {} cells, expected {} as in its header",
                                                    rows.first_line(), of_row.size(), names.size())};
    }
    // The last row of a file that is being written may end anywhere, within a number too.
    if (rows.cut_off() && of_row.size() < names.size()) {
      facts.notes.push_back(
          fmt::format("Line {}, the last, is cut off and was left out.", rows.first_line()));
      break;
    }
    for (std::size_t i = 0; i < of_row.size(); ++i) {
      if (of_row[i].empty()) continue;
      if (const auto value = cell_number(of_row[i], separator))
        sink.number(names[i], *value);
      else
        sink.text(names[i], of_row[i]);
    }
    if (!sink.end_row()) return {};
  }
  return rows.status();
}

}  // namespace gradstab::lab::inspect
