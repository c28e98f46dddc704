#include "lab/inspect/readers/log_number.hpp"

#include <array>
#include <charconv>
#include <cmath>
#include <limits>

namespace gradstab::lab::inspect {
namespace {

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

bool is_word(char c) {
  return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

/// Digits with commas between groups of three: the bytes of "1,234.5" up to the point; 0 where there are
/// none.
std::size_t grouped_bytes(std::string_view text) {
  std::size_t at = 0;
  while (at < text.size() && at < 4 && is_digit(text[at])) ++at;
  if (at == 0 || at > 3 || at == text.size() || text[at] != ',') return 0;
  std::size_t end = 0;
  while (at + 3 < text.size() && text[at] == ',' && is_digit(text[at + 1]) && is_digit(text[at + 2]) &&
         is_digit(text[at + 3]) && (at + 4 == text.size() || !is_digit(text[at + 4])))
    end = at += 4;
  return end;
}

/// The number at the very front, without a sign, blanks or wrapping.
NumberAtFront bare_number(std::string_view text) {
  double value = 0.0;
  if (const std::size_t grouped = grouped_bytes(text); grouped > 0) {
    // Up to 3 * 80 digits; a longer one is none that anybody logs.
    std::array<char, 320> plain;
    std::size_t count = 0;
    std::size_t at = 0;
    for (; at < grouped; ++at)
      if (text[at] != ',' && count < plain.size()) plain[count++] = text[at];
    if (at < text.size() && text[at] == '.') {
      do {
        if (count < plain.size()) plain[count++] = text[at];
        ++at;
      } while (at < text.size() && is_digit(text[at]));
    }
    const auto [end, error] = std::from_chars(plain.data(), plain.data() + count, value);
    if (error == std::errc() && end == plain.data() + count) return {value, at};
    return {};
  }
  const char* const first = text.data();
  const auto [end, error] = std::from_chars(first, first + text.size(), value);
  const auto bytes = static_cast<std::size_t>(end - first);
  if (bytes == 0) return {};
  if (error == std::errc::result_out_of_range) {
    // 1e400 or 1e-400: the sign of the exponent tells which.
    const std::size_t exponent = text.substr(0, bytes).find_first_of("eE");
    const bool small = exponent == std::string_view::npos ? text.starts_with('0')
                                                          : exponent + 1 < bytes && text[exponent + 1] == '-';
    return {small ? 0.0 : std::numeric_limits<double>::infinity(), bytes};
  }
  if (error != std::errc()) return {};
  // "nan(7)" is one for from_chars, and "info" begins with "inf".
  if (!std::isfinite(value) && bytes < text.size() && is_word(text[bytes])) return {};
  return {value, bytes};
}

}  // namespace

NumberAtFront number_at_front(std::string_view text) {
  std::size_t at = 0;
  while (at < text.size() && (text[at] == ' ' || text[at] == '\t')) ++at;
  const bool quoted = at < text.size() && (text[at] == '"' || text[at] == '\'');
  if (quoted) ++at;
  // np.float64(0.4002), tensor(0.4, device='cuda:0')
  const std::string_view rest = text.substr(at);
  for (const std::string_view wrapping : {"np.float64(", "np.float32(", "np.float16(", "tensor(", "array("}) {
    if (!rest.starts_with(wrapping)) continue;
    const NumberAtFront inner = number_at_front(rest.substr(wrapping.size()));
    if (inner.bytes == 0) return {};
    std::size_t end = at + wrapping.size() + inner.bytes;
    if (const std::size_t close = text.find(')', end); close != std::string_view::npos) end = close + 1;
    if (quoted && end < text.size() && text[end] == text[at - 1]) ++end;
    return {inner.value, end};
  }
  const bool negative = at < text.size() && text[at] == '-';
  if (negative || (at < text.size() && text[at] == '+')) ++at;
  if (at < text.size() && (text[at] == '-' || text[at] == '+')) return {};
  const NumberAtFront bare = bare_number(text.substr(at));
  if (bare.bytes == 0) return {};
  at += bare.bytes;
  if (quoted && at < text.size() && (text[at] == '"' || text[at] == '\'')) ++at;
  return {negative ? -bare.value : bare.value, at};
}

std::optional<double> log_number(std::string_view text) {
  const NumberAtFront found = number_at_front(text);
  if (found.bytes == 0) return std::nullopt;
  const std::string_view rest = text.substr(found.bytes);
  if (rest.find_first_not_of(" \t\"'\r") != std::string_view::npos) return std::nullopt;
  return found.value;
}

std::optional<std::int64_t> step_of(double value) {
  // Beyond 2^53 not every whole number is a double.
  constexpr double kMost = 9007199254740992.0;
  if (!(value >= 0.0 && value <= kMost) || value != std::floor(value)) return std::nullopt;
  return static_cast<std::int64_t>(value);
}

}  // namespace gradstab::lab::inspect
