#include "lab/support/numbers.hpp"

#include <fmt/format.h>

#include <charconv>
#include <cmath>
#include <limits>
#include <string>
#include <type_traits>

namespace gradstab::lab {
namespace {

bool is_word_for_nonfinite(std::string_view text) {
  return text == "nan" || text == "inf" || text == "-inf";
}

template <class T>
std::string kind_of_number() {
  if constexpr (std::is_floating_point_v<T>) return "a number";
  if constexpr (std::is_unsigned_v<T>) return "a whole number of at least 0";
  return "a whole number";
}

template <class T>
std::string range_of_number() {
  if constexpr (std::is_floating_point_v<T>) return "a number that 64-bit floating point can hold";
  return fmt::format("a whole number from {} to {}", std::numeric_limits<T>::min(),
                     std::numeric_limits<T>::max());
}

template <class T>
Status read_number(std::string_view text, T& field) {
  const auto value = parse_number<T>(text);
  if (!value) return value.status();
  field = *value;
  return {};
}

}  // namespace

template <class T>
Result<T> parse_number(std::string_view text) {
  T value{};
  const char* const last = text.data() + text.size();
  const auto [end, error] = std::from_chars(text.data(), last, value);
  const auto expected = [&](const std::string& what) {
    return Status(StatusCode::invalid_argument, fmt::format("expected {}, got '{}'", what, text));
  };
  if (error == std::errc::result_out_of_range && end == last) return expected(range_of_number<T>());
  if (error != std::errc() || end != last) return expected(kind_of_number<T>());
  if constexpr (std::is_floating_point_v<T>) {
    // from_chars knows more spellings: "INFINITY", "-nan(7)".
    if (!std::isfinite(value) && !is_word_for_nonfinite(text)) return expected(kind_of_number<T>());
  }
  return value;
}

template Result<int> parse_number(std::string_view text);
template Result<std::int64_t> parse_number(std::string_view text);
template Result<std::uint64_t> parse_number(std::string_view text);
template Result<double> parse_number(std::string_view text);

Status read_value(std::string_view text, int& field) {
  return read_number(text, field);
}
Status read_value(std::string_view text, std::int64_t& field) {
  return read_number(text, field);
}
Status read_value(std::string_view text, std::uint64_t& field) {
  return read_number(text, field);
}
Status read_value(std::string_view text, double& field) {
  return read_number(text, field);
}
Status read_value(std::string_view text, bool& field) {
  if (text != "true" && text != "false")
    return {StatusCode::invalid_argument, fmt::format("expected true or false, got '{}'", text)};
  field = text == "true";
  return {};
}
Status read_value(std::string_view text, std::string& field) {
  field = text;
  return {};
}

}  // namespace gradstab::lab
