// How the program talks: a live progress line on a terminal, plain lines elsewhere, one line for an error.
// Nothing else in the program prints, so that what comes from files and arguments is escaped in one place,
// and a stream that cannot be written ends no run.
#pragma once

#include <fmt/format.h>

#include <chrono>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "gradstab/status.hpp"

namespace gradstab::cli {

inline constexpr int kExitOk = 0;
inline constexpr int kExitFailure = 1;
inline constexpr int kExitUsage = 2;
inline constexpr int kExitInterrupted = 130;

/// Text as it may reach a terminal: on one line, and without what a terminal obeys. Control characters, marks
/// that turn the direction of writing, and bytes that are no UTF-8 come out as "\x1b", "\n", "\u202e".
std::string printable(std::string_view text);

/// Text comes out printable, anything else as it is.
template <class T>
decltype(auto) printable_argument(const T& value) {
  if constexpr (std::is_convertible_v<const T&, std::string_view>)
    return printable(value);
  else
    return (value);
}

/// To standard output, as it is: for what is no line of text.
void print_raw(std::string_view text);

/// To standard output. Arguments that are text are escaped; the format is not. That it fails is seen at the
/// end, by exit_code_after_output.
template <class... Args>
void print(fmt::format_string<decltype(printable_argument(std::declval<const Args&>()))...> format,
           const Args&... args) {
  print_raw(fmt::format(format, printable_argument(args)...));
}

/// A table: the first row is the heading. The first column and the last stand left, the others right. Cells
/// are escaped.
void print_columns(const std::vector<std::vector<std::string>>& rows);

/// What was printed so far is now on its way.
void flush_output();

/// Flushes standard output. `exit_code`, or failure, with an error, where a success could not be told.
int exit_code_after_output(int exit_code);

/// "gradstab: message" on standard error.
void print_error(const std::string& message);

/// "warning: message" on standard error.
void print_warning(const std::string& message);

/// While quiet, nothing is printed, as by all processes of a run but the first.
void set_quiet(bool quiet) noexcept;

/// Prints the message; usage (2) for an invalid argument, failure (1) for anything else.
int exit_code_for(const Status& status);

/// "1:05", "2:03:04"
std::string format_duration(double seconds);

/// One line that is redrawn in place on a terminal, and printed every few seconds elsewhere. Where standard
/// error cannot be written, it shows nothing.
class ProgressLine {
 public:
  ProgressLine();
  ~ProgressLine();
  ProgressLine(const ProgressLine&) = delete;
  ProgressLine& operator=(const ProgressLine&) = delete;

  /// `fraction` in [0, 1]; `text` follows the bar.
  void show(double fraction, const std::string& text);

  /// Ends the line, keeping its last state on the screen.
  void finish();

 private:
  using Clock = std::chrono::steady_clock;
  bool terminal_;
  bool shown_ = false;
  Clock::time_point last_{};
  double last_fraction_ = 0.0;
  std::string last_text_;
};

}  // namespace gradstab::cli
