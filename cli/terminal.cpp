#include "cli/terminal.hpp"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <string_view>

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

}  // namespace

void print_error(const std::string& message) {
  fmt::print(stderr, "gradstab: {}\n", message);
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
  if (shown_ && !complete && now - last_ < (terminal_ ? Clock::duration(kTerminalInterval) : kPlainInterval))
    return;
  last_ = now;
  shown_ = true;
  if (!terminal_) {
    fmt::print(stderr, "{:3.0f}%  {}\n", 100.0 * fraction, text);
    return;
  }
  // Cut to the window's width: a wrapped line cannot be redrawn in place.
  constexpr int kBarColumns = kBarCells + 9;
  const auto room = static_cast<std::size_t>(std::max(0, terminal_columns() - kBarColumns - 1));
  fmt::print(stderr, "\r{:3.0f}% ▕{}▏ {}\x1b[K", 100.0 * fraction, bar(fraction), text.substr(0, room));
  std::fflush(stderr);
}

void ProgressLine::finish() {
  if (!shown_) return;
  shown_ = false;
  if (terminal_) {
    const std::string text = last_text_;
    last_ = {};
    show(last_fraction_, text);
    shown_ = false;
    fmt::print(stderr, "\n");
  }
}

}  // namespace gradstab::cli
