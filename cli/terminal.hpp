// How the program talks: a live progress line on a terminal, plain lines elsewhere, one line for an error.
#pragma once

#include <chrono>
#include <string>

#include "gradstab/status.hpp"

namespace gradstab::cli {

inline constexpr int kExitOk = 0;
inline constexpr int kExitFailure = 1;
inline constexpr int kExitUsage = 2;
inline constexpr int kExitInterrupted = 130;

/// "gradstab: message" on standard error.
void print_error(const std::string& message);

/// Prints the message; usage (2) for an invalid argument, failure (1) for anything else.
int exit_code_for(const Status& status);

/// "1:05", "2:03:04"
std::string format_duration(double seconds);

/// One line that is redrawn in place on a terminal, and printed every few seconds elsewhere.
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
