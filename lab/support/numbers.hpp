// Numbers and other values that people write, read exactly and in full.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "gradstab/status.hpp"

namespace gradstab::lab {

/// The number that all of `text` is, in decimal: no blanks, no plus sign, no hexadecimal digits, nothing
/// behind it. A whole number has neither point nor exponent and must fit T; of floating point there are also
/// the words nan, inf and -inf, which whoever takes the number may still refuse. T is int, std::int64_t,
/// std::uint64_t or double. Errors (invalid_argument) say what was expected and what was given: "expected a
/// whole number, got '1e3'".
template <class T>
Result<T> parse_number(std::string_view text);

// Replaces `field` by what `text` says: a number as above, true or false, or the text itself. Errors, after
// which it is as it was: as above.
Status read_value(std::string_view text, int& field);
Status read_value(std::string_view text, std::int64_t& field);
Status read_value(std::string_view text, std::uint64_t& field);
Status read_value(std::string_view text, double& field);
Status read_value(std::string_view text, bool& field);
Status read_value(std::string_view text, std::string& field);

extern template Result<int> parse_number(std::string_view text);
extern template Result<std::int64_t> parse_number(std::string_view text);
extern template Result<std::uint64_t> parse_number(std::string_view text);
extern template Result<double> parse_number(std::string_view text);

}  // namespace gradstab::lab
