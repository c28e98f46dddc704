#include "lab/inspect/readers/json_rows.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <iterator>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "lab/inspect/readers/lines.hpp"
#include "lab/inspect/readers/log_number.hpp"
#include "lab/support/json.hpp"

namespace gradstab::lab::inspect {
namespace {

/// Stands in front of a word that was bare, inside of the quotes that it gets.
constexpr std::string_view kBareWords[] = {"NaN", "Infinity", "-Infinity", "nan", "inf", "-inf"};

/// JSON without bare words for numbers: those get quotes, by which they are read as texts that are numbers.
class Quoting {
 public:
  explicit Quoting(ByteStream& bytes) : bytes_(bytes) {}

  /// The next byte; -1 at the end.
  int next() {
    for (;;) {
      if (replayed_ < pending_.size()) return static_cast<unsigned char>(pending_[replayed_++]);
      const int c = raw();
      if (c < 0) return c;
      if (in_string_) {
        if (escaped_)
          escaped_ = false;
        else if (c == '\\')
          escaped_ = true;
        else if (c == '"')
          in_string_ = false;
        return c;
      }
      if (c == '"') in_string_ = true;
      const bool begins_word = c == 'N' || c == 'I' || c == 'i' || c == '-' || c == 'n';
      if (!begins_word) return c;
      // A word ends where neither letters nor digits go on.
      pending_.assign(1, static_cast<char>(c));
      replayed_ = 0;
      int after = raw();
      while (after >= 0 && pending_.size() < 32 &&
             (std::isalnum(after) != 0 || after == '.' || after == '+' || after == '-')) {
        pending_ += static_cast<char>(after);
        after = raw();
      }
      if (std::ranges::find(kBareWords, pending_) != std::end(kBareWords)) pending_ = '"' + pending_ + '"';
      if (after >= 0) {
        put_back_ = after;
      }
    }
  }
  std::size_t read() const noexcept { return read_; }
  const Status& status() const noexcept { return status_; }

 private:
  int raw() {
    if (put_back_ >= 0) return std::exchange(put_back_, -1);
    if (at_ == end_) {
      const auto count = bytes_.read(buffer_);
      if (!count) status_ = count.status();
      if (!count || *count == 0) return -1;
      at_ = 0;
      end_ = *count;
    }
    ++read_;
    return static_cast<unsigned char>(buffer_[at_++]);
  }

  ByteStream& bytes_;
  std::array<char, 1 << 16> buffer_;
  std::size_t at_ = 0;
  std::size_t end_ = 0;
  std::size_t read_ = 0;
  std::string pending_;
  std::size_t replayed_ = 0;
  int put_back_ = -1;
  bool in_string_ = false;
  bool escaped_ = false;
  Status status_;
};

/// What nlohmann's parser reads from.
class QuotingIterator {
 public:
  using iterator_category = std::input_iterator_tag;
  using value_type = char;
  using difference_type = std::ptrdiff_t;
  using pointer = const char*;
  using reference = const char&;

  QuotingIterator() = default;
  explicit QuotingIterator(Quoting& quoting) : quoting_(&quoting) { ++*this; }
  reference operator*() const { return current_; }
  QuotingIterator& operator++() {
    const int c = quoting_->next();
    if (c < 0)
      quoting_ = nullptr;
    else
      current_ = static_cast<char>(c);
    return *this;
  }
  QuotingIterator operator++(int) {
    QuotingIterator before = *this;
    ++*this;
    return before;
  }
  bool operator==(const QuotingIterator& other) const { return quoting_ == other.quoting_; }

 private:
  Quoting* quoting_ = nullptr;
  char current_ = '\0';
};

/// Whether the values inside of an object become a row.
enum class Rows { of_document, of_lists };

/// Values by their names, out of the parser's events.
class Handler {
 public:
  Handler(RowSink& sink, Rows rows) : sink_(sink), rows_(rows) {}

  // What nlohmann's parser calls.
  bool null() {
    if (is_value()) sink_.text(name(), kNull);
    return scalar();
  }
  bool boolean(bool) { return scalar(); }
  bool number_integer(std::int64_t value) { return number(static_cast<double>(value)); }
  bool number_unsigned(std::uint64_t value) { return number(static_cast<double>(value)); }
  bool number_float(double value, const std::string&) { return number(value); }
  bool string(std::string& value) {
    if (is_value()) {
      if (const auto as_number = log_number(value))
        sink_.number(name(), *as_number);
      else
        sink_.text(name(), value);
    }
    return scalar();
  }
  bool binary(std::vector<std::uint8_t>&) { return scalar(); }
  bool key(std::string& value) {
    key_ = value;
    return true;
  }
  bool start_object(std::size_t) { return open('{'); }
  bool end_object() { return close(); }
  bool start_array(std::size_t) { return open('['); }
  bool end_array() { return close(); }
  bool parse_error(std::size_t position, const std::string&, const nlohmann::detail::exception&) {
    error_at_ = position;
    return false;
  }

  std::size_t error_at() const noexcept { return error_at_; }
  bool stopped() const noexcept { return stopped_; }
  bool too_deep() const noexcept { return too_deep_; }
  bool was_object() const noexcept { return was_object_; }
  /// A list of rows began.
  bool found_list() const noexcept { return found_list_; }

 private:
  struct Level {
    char kind;             // '{' or '['
    std::size_t prefix;    // length of the names' front inside
    bool is_list_of_rows;  // its objects are rows
    bool is_row;           // its end ends a row
    bool skipped;          // a list inside of a row
  };

  bool number(double value) {
    if (is_value()) sink_.number(name(), value);
    return scalar();
  }
  /// Whether the value at hand belongs to an object that is read.
  bool is_value() const { return !levels_.empty() && levels_.back().kind == '{' && !levels_.back().skipped; }
  std::string_view name() {
    prefix_.resize(levels_.back().prefix);
    prefix_ += key_;
    return prefix_;
  }
  /// What stands beside the list of rows is a row by itself.
  bool scalar() {
    if (rows_ == Rows::of_lists && levels_.size() == 1 && is_value()) return end_row();
    return true;
  }
  bool end_row() {
    if (sink_.end_row()) return true;
    stopped_ = true;
    return false;
  }
  bool open(char kind) {
    if (static_cast<int>(levels_.size()) >= kDeepestJson) {
      too_deep_ = true;
      return false;
    }
    Level level{kind, 0, false, false, false};
    if (levels_.empty()) {
      was_object_ = kind == '{';
      level.is_list_of_rows = kind == '[' && rows_ == Rows::of_lists;
      level.is_row = kind == '{' && rows_ == Rows::of_document;
    } else {
      const Level& outer = levels_.back();
      level.is_list_of_rows = rows_ == Rows::of_lists && levels_.size() == 1 && outer.kind == '{' &&
                              kind == '[' && key_ == "log_history";
      level.is_row = outer.is_list_of_rows && kind == '{';
      level.skipped = !level.is_list_of_rows && !level.is_row &&
                      (outer.skipped || kind == '[' || outer.kind == '[' ||
                       (rows_ == Rows::of_lists && levels_.size() == 1));
      if (!level.is_row && !level.skipped && kind == '{') {
        name();
        prefix_ += '.';
        level.prefix = prefix_.size();
      }
    }
    found_list_ = found_list_ || level.is_list_of_rows;
    levels_.push_back(level);
    return true;
  }
  bool close() {
    const bool row = levels_.back().is_row;
    levels_.pop_back();
    return row && rows_ == Rows::of_lists ? end_row() : true;
  }

  RowSink& sink_;
  Rows rows_;
  std::vector<Level> levels_;
  std::string key_;
  std::string prefix_;
  std::size_t error_at_ = 0;
  bool stopped_ = false;
  bool too_deep_ = false;
  bool was_object_ = false;
  bool found_list_ = false;
};

bool parse(ByteStream& bytes, Handler& handler, Status& status, std::size_t& read) {
  Quoting quoting(bytes);
  const bool whole = nlohmann::json::sax_parse(QuotingIterator(quoting), QuotingIterator(), &handler);
  status = quoting.status();
  read = quoting.read();
  return whole;
}

/// Whether a line may hold a word that JSON has not.
bool has_bare_word(std::string_view line) {
  return line.find("NaN") != std::string_view::npos || line.find("nfinity") != std::string_view::npos ||
         line.find("nan") != std::string_view::npos || line.find("inf") != std::string_view::npos;
}

}  // namespace

bool json_values(std::string_view text, RowSink& sink) {
  Handler handler(sink, Rows::of_document);
  if (!has_bare_word(text))
    return nlohmann::json::sax_parse(text.begin(), text.end(), &handler) && handler.was_object();
  MemoryStream bytes(text);
  Status status;
  std::size_t read = 0;
  return parse(bytes, handler, status, read) && handler.was_object();
}

Status json_line_rows(const Source& source, TraceFacts& facts, RowSink& sink) {
  auto bytes = source();
  if (!bytes) return bytes.status();
  LineReader lines(**bytes);
  while (const auto line = lines.next()) {
    if (line->find_first_not_of(" \t") == std::string_view::npos) continue;
    if (!json_values(*line, sink)) {
      if (!lines.ended()) {
        facts.notes.push_back(fmt::format("Line {}, the last, is cut off and was left out.", lines.number()));
        break;
      }
      return {StatusCode::corrupt_data, fmt::format("line {} is no JSON object", lines.number())};
    }
    if (!sink.end_row()) return {};
  }
  return lines.status();
}

Status json_document_rows(const Source& source, TraceFacts& facts, RowSink& sink) {
  auto bytes = source();
  if (!bytes) return bytes.status();
  Handler handler(sink, Rows::of_lists);
  Status status;
  std::size_t read = 0;
  if (parse(**bytes, handler, status, read) || handler.stopped()) return {};
  GRADSTAB_RETURN_IF_ERROR(status);
  if (handler.too_deep())
    return {StatusCode::corrupt_data,
            fmt::format("more than {} lists and objects inside each other", kDeepestJson)};
  // At its end the parser wants more of a document that was cut.
  if (handler.found_list() && handler.error_at() >= read) {
    facts.notes.emplace_back("The document is cut off; it was read as far as it goes.");
    return {};
  }
  return {StatusCode::corrupt_data,
          fmt::format("is no JSON: something unexpected at byte {}", handler.error_at())};
}

}  // namespace gradstab::lab::inspect
