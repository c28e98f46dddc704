// Untrusted text and numbers as HTML and as inline JSON.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace gradstab::lab {

/// `text` for element content and quoted attributes: & < > " ' become entities.
std::string escape_html(std::string_view text);

/// escape_html, with places to break a long name: after + _ / , and =.
std::string breakable_html(std::string_view text);

/// `value` as JSON that may stand inside a <script> element: `<`, `>` and `&` inside strings are written as
/// \u escapes, so no text can close the element or open a comment. Bytes that are not UTF-8 become U+FFFD.
std::string json_for_script(const nlohmann::json& value);

/// A setting as a person would type it: strings without quotes, everything else as JSON.
std::string plain_text(const nlohmann::json& value);

/// Shortest text that reads back as exactly `value`; empty for a value that is not finite.
std::string exact_number(double value);

/// What stands in a table for a value that is not there.
inline constexpr std::string_view kNothing = "\u2013";

// Display forms; each gives kNothing for a value that is not finite.

/// Fixed decimals: 4.6100. Falls back to scientific notation from a million on.
std::string decimals(double value, int digits);
/// With a sign, and a true minus: +0.1200, −0.1200.
std::string signed_decimals(double value, int digits);
/// Three significant digits, plain up to a million: 0.0123, 1.93, 48 300.
std::string significant(double value);
/// A count or a rate, rounded, with thin spaces between thousands: 12 110.
std::string grouped_integer(double value);
/// 61.2 s, 12 min 05 s, 3 h 02 min.
std::string duration(double seconds);

}  // namespace gradstab::lab
