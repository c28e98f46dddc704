// Building one-line messages.
#pragma once

#include <charconv>
#include <concepts>
#include <cstddef>
#include <string>
#include <string_view>
#include <type_traits>

namespace gradstab::detail {

template <class Number, class... Format>
void append_digits(std::string& text, Number value, Format... format) {
  constexpr std::size_t kMostCharacters = 32;
  char digits[kMostCharacters];
  const auto written = std::to_chars(digits, digits + kMostCharacters, value, format...);
  text.append(digits, written.ptr);
}

template <class Part>
void append_part(std::string& text, const Part& part) {
  if constexpr (std::is_convertible_v<const Part&, std::string_view>) {
    text += std::string_view(part);
  } else if constexpr (std::same_as<Part, char>) {
    text += part;
  } else if constexpr (std::floating_point<Part>) {
    append_digits(text, part, std::chars_format::general, 10);
  } else {
    static_assert(std::integral<Part> && !std::same_as<Part, bool>, "neither text nor a number");
    append_digits(text, part);
  }
}

/// Everything after everything else, numbers with up to 10 significant digits.
///
/// Without streams, which would write numbers as the program's locale has them, and which crash in a plugin
/// that was linked with a C++ library of its own.
template <class... Parts>
std::string concat(const Parts&... parts) {
  std::string text;
  (append_part(text, parts), ...);
  return text;
}

}  // namespace gradstab::detail
