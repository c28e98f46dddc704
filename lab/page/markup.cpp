#include "lab/page/markup.hpp"

#include <fmt/format.h>

#include <cmath>

namespace gradstab::lab {
namespace {

constexpr std::string_view kThinSpace = "\u202f";  // narrow and unbreakable
constexpr double kMillion = 1e6;

std::string scientific(double value) {
  return fmt::format("{:.2e}", value);
}

/// 12110 -> 12 110; four digits stay together.
std::string with_spaces(std::string digits) {
  const std::size_t first = digits.find_first_of("0123456789");
  const std::size_t end = std::min(digits.find('.'), digits.size());
  if (end - first < 5) return digits;
  for (std::size_t at = end - 3; at > first; at -= std::min<std::size_t>(3, at - first)) {
    digits.insert(at, kThinSpace);
  }
  return digits;
}

}  // namespace

std::string escape_html(std::string_view text) {
  std::string result;
  result.reserve(text.size());
  for (const char c : text) {
    switch (c) {
      case '&':
        result += "&amp;";
        break;
      case '<':
        result += "&lt;";
        break;
      case '>':
        result += "&gt;";
        break;
      case '"':
        result += "&quot;";
        break;
      case '\'':
        result += "&#39;";
        break;
      default:
        // HTML has no control characters but the blanks among them.
        if (static_cast<unsigned char>(c) >= 0x20 || c == '\n' || c == '\t') result += c;
    }
  }
  return result;
}

std::string breakable_html(std::string_view text) {
  std::string result;
  for (const char c : text) {
    result += escape_html(std::string_view(&c, 1));
    if (std::string_view("+_/,=").find(c) != std::string_view::npos) result += "<wbr>";
  }
  return result;
}

std::string json_for_script(const nlohmann::json& value) {
  const std::string plain = value.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  std::string result;
  result.reserve(plain.size());
  // Outside of strings JSON has none of these three, so escaping the whole text is safe.
  for (const char c : plain) {
    switch (c) {
      case '<':
        result += "\\u003c";
        break;
      case '>':
        result += "\\u003e";
        break;
      case '&':
        result += "\\u0026";
        break;
      default:
        result += c;
    }
  }
  return result;
}

std::string plain_text(const nlohmann::json& value) {
  if (const auto* const text = value.get_ptr<const nlohmann::json::string_t*>()) return *text;
  return value.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

std::string exact_number(double value) {
  return std::isfinite(value) ? fmt::format("{}", value) : std::string();
}

std::string decimals(double value, int digits) {
  if (!std::isfinite(value)) return std::string(kNothing);
  return std::abs(value) < kMillion ? fmt::format("{:.{}f}", value, digits) : scientific(value);
}

std::string signed_decimals(double value, int digits) {
  if (!std::isfinite(value)) return std::string(kNothing);
  std::string size = decimals(std::abs(value), digits);
  if (size.find_first_not_of("0.") == std::string::npos) return size;  // no sign on a rounded zero
  return (value < 0 ? "\u2212" : "+") + size;
}

std::string significant(double value) {
  if (!std::isfinite(value)) return std::string(kNothing);
  const double size = std::abs(value);
  if (size == 0) return "0";
  if (size >= kMillion || size < 1e-4) return scientific(value);
  const int digits = std::max(0, 2 - static_cast<int>(std::floor(std::log10(size))));
  return with_spaces(fmt::format("{:.{}f}", value, digits));
}

std::string grouped_integer(double value) {
  if (!std::isfinite(value)) return std::string(kNothing);
  return std::abs(value) < 1e15 ? with_spaces(fmt::format("{:.0f}", value)) : scientific(value);
}

std::string duration(double seconds) {
  if (!std::isfinite(seconds)) return std::string(kNothing);
  if (seconds < 99.95) return fmt::format("{:.1f} s", seconds);
  if (seconds >= 1e12) return scientific(seconds) + " s";
  const auto whole = static_cast<std::int64_t>(std::llround(seconds));
  if (whole < 3600) return fmt::format("{} min {:02} s", whole / 60, whole % 60);
  return fmt::format("{} h {:02} min", whole / 3600, whole % 3600 / 60);
}

}  // namespace gradstab::lab
