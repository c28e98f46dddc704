#include "cli/terminal.hpp"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>

#include "lab/support/files.hpp"
#include "lab/support/utf8.hpp"

namespace gradstab::cli {
namespace {

constexpr auto kTerminalInterval = std::chrono::milliseconds(100);
constexpr auto kPlainInterval = std::chrono::seconds(5);
constexpr int kBarCells = 24;

int terminal_columns() {
  winsize size{};
  return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

std::string bar(double fraction) {
  const int eighths = static_cast<int>(std::clamp(fraction, 0.0, 1.0) * kBarCells * 8);
  static constexpr const char* kPartial[] = {"", "▏", "▎", "▍", "▌", "▋", "▊", "▉"};
  std::string cells;
  for (int i = 0; i < eighths / 8; ++i) cells += "█";
  cells += kPartial[eighths % 8];
  const int used = eighths / 8 + (eighths % 8 != 0 ? 1 : 0);
  return cells + std::string(static_cast<std::size_t>(kBarCells - used), ' ');
}

/// Why standard output could not be written; 0: it could.
bool is_quiet = false;
int output_error = 0;

/// Progress and errors: where they cannot be shown, there is nobody to tell.
void print_to_stderr(std::string_view text) {
  if (is_quiet) return;
  std::fwrite(text.data(), 1, text.size(), stderr);
  std::fflush(stderr);
}

/// What begins valid UTF-8.
char32_t first_code_point(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  if (byte(0) < 0x80) return byte(0);
  const std::size_t length = byte(0) >= 0xf0 ? 4 : byte(0) >= 0xe0 ? 3 : 2;
  char32_t code_point = byte(0) & (0xff >> (length + 1));
  for (std::size_t i = 1; i < length; ++i) code_point = code_point << 6 | (byte(i) & 0x3f);
  return code_point;
}

std::size_t length_of(char32_t code_point) {
  return code_point < 0x80 ? 1 : code_point < 0x800 ? 2 : code_point < 0x10000 ? 3 : 4;
}

/// Whether a terminal obeys it: C0, DEL and C1 controls, line separators, and marks of direction.
bool is_obeyed(char32_t c) {
  return c < 0x20 || (c >= 0x7f && c < 0xa0) || c == 0x2028 || c == 0x2029 || c == 0x061c ||
         (c >= 0x200e && c <= 0x200f) || (c >= 0x202a && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069);
}

std::string escaped(char32_t c) {
  if (c == '\n') return "\\n";
  if (c == '\t') return "\\t";
  if (c == '\r') return "\\r";
  return c < 0x100 ? fmt::format("\\x{:02x}", static_cast<unsigned>(c))
                   : fmt::format("\\u{:04x}", static_cast<unsigned>(c));
}

}  // namespace

std::string printable(std::string_view text) {
  std::string shown;
  while (!text.empty()) {
    for (std::size_t valid = lab::valid_utf8_prefix(text); valid > 0;) {
      const char32_t c = first_code_point(text);
      const std::size_t length = length_of(c);
      shown += is_obeyed(c) ? escaped(c) : std::string(text.substr(0, length));
      text.remove_prefix(length);
      valid -= length;
    }
    if (text.empty()) break;
    shown += escaped(static_cast<unsigned char>(text.front()));
    text.remove_prefix(1);
  }
  return shown;
}

void set_quiet(bool quiet) noexcept {
  is_quiet = quiet;
}

void print_raw(std::string_view text) {
  if (is_quiet) return;
  if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size() && output_error == 0)
    output_error = errno;
}

void print_columns(const std::vector<std::vector<std::string>>& rows) {
  std::vector<std::size_t> widths;
  for (const auto& row : rows) {
    widths.resize(std::max(widths.size(), row.size()), 0);
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], printable(row[i]).size());
  }
  for (const auto& row : rows) {
    std::string line;
    for (std::size_t i = 0; i < row.size(); ++i) {
      const std::string cell = printable(row[i]);
      if (i + 1 == row.size())
        line += cell;
      else
        line += i == 0 ? fmt::format("{:<{}}  ", cell, widths[i]) : fmt::format("{:>{}}  ", cell, widths[i]);
    }
    print_raw(line + "\n");
  }
}

void flush_output() {
  if (std::fflush(stdout) != 0 && output_error == 0) output_error = errno;
}

int exit_code_after_output(int exit_code) {
  flush_output();
  // Of what went there otherwise, the text of --help, only the mark is left.
  if (std::ferror(stdout) != 0 && output_error == 0) output_error = EIO;
  if (output_error == 0 || exit_code != kExitOk) return exit_code;
  print_error(fmt::format("cannot write standard output: {}", lab::system_error_text(output_error)));
  return kExitFailure;
}

void print_error(const std::string& message) {
  print_to_stderr(fmt::format("gradstab: {}\n", printable(message)));
}

void print_warning(const std::string& message) {
  print_to_stderr(fmt::format("warning: {}\n", printable(message)));
}

int exit_code_for(const Status& status) {
  print_error(status.message());
  return status.code() == StatusCode::invalid_argument ? kExitUsage : kExitFailure;
}

std::string format_duration(double seconds) {
  const auto total = static_cast<long>(seconds + 0.5);
  if (total >= 3600) return fmt::format("{}:{:02}:{:02}", total / 3600, total / 60 % 60, total % 60);
  return fmt::format("{}:{:02}", total / 60, total % 60);
}

ProgressLine::ProgressLine() {
  const char* term = std::getenv("TERM");  // NOLINT(concurrency-mt-unsafe)
  terminal_ = isatty(STDERR_FILENO) == 1 && term != nullptr && std::string_view(term) != "dumb";
}

ProgressLine::~ProgressLine() {
  finish();
}

void ProgressLine::show(double fraction, const std::string& text) {
  const auto now = Clock::now();
  const bool complete = fraction >= 1.0;
  last_fraction_ = fraction;
  last_text_ = text;
  const std::string shown = printable(text);
  if (shown_ && !complete && now - last_ < (terminal_ ? Clock::duration(kTerminalInterval) : kPlainInterval))
    return;
  last_ = now;
  shown_ = true;
  if (!terminal_) {
    print_to_stderr(fmt::format("{:3.0f}%  {}\n", 100.0 * fraction, shown));
    return;
  }
  // Cut to the window's width: a wrapped line cannot be redrawn in place.
  constexpr int kBarColumns = kBarCells + 9;
  const auto room = static_cast<std::size_t>(std::max(0, terminal_columns() - kBarColumns - 1));
  print_to_stderr(
      fmt::format("\r{:3.0f}% ▕{}▏ {}\x1b[K", 100.0 * fraction, bar(fraction), shown.substr(0, room)));
}

void ProgressLine::finish() {
  if (!shown_) return;
  shown_ = false;
  if (terminal_) {
    const std::string text = last_text_;
    last_ = {};
    show(last_fraction_, text);
    shown_ = false;
    print_to_stderr("\n");
  }
}

}  // namespace gradstab::cli
