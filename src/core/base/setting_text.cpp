#include "core/base/setting_text.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <numeric>
#include <utility>

namespace gradstab {
namespace {

constexpr std::string_view kBlank = " \t\n";
/// What means something inside a list.
constexpr std::string_view kSpecial = "\\[],;= ";

std::string_view trimmed(std::string_view text) {
  const std::size_t begin = text.find_first_not_of(kBlank);
  if (begin == std::string_view::npos) return {};
  std::size_t end = text.find_last_not_of(kBlank) + 1;
  // A blank behind a backslash belongs to the text, unless that backslash is itself behind one.
  std::size_t slashes = 0;
  while (slashes < end && text[end - 1 - slashes] == '\\') ++slashes;
  if (slashes % 2 == 1 && end < text.size()) ++end;
  return text.substr(begin, end - begin);
}

std::string escaped(std::string_view text) {
  std::string result;
  for (const char character : text) {
    if (kSpecial.find(character) != std::string_view::npos) result += '\\';
    result += character;
  }
  return result;
}

std::string unescaped(std::string_view text) {
  std::string result;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 1 < text.size()) ++i;
    result += text[i];
  }
  return result;
}

/// The parts between separators, trimmed; none of a blank text.
std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  if (trimmed(text).empty()) return parts;
  std::size_t begin = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\') {
      ++i;
    } else if (text[i] == separator) {
      parts.push_back(trimmed(text.substr(begin, i - begin)));
      begin = i + 1;
    }
  }
  parts.push_back(trimmed(text.substr(begin)));
  return parts;
}

/// What is between the brackets; the brackets of a list of one may be left out.
std::string_view inside(std::string_view text) {
  text = trimmed(text);
  return text.size() >= 2 && text.front() == '[' && text.back() == ']' ? text.substr(1, text.size() - 2)
                                                                       : text;
}

template <class Number>
bool read_number(std::string_view text, Number& value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size();
}

template <class Element, class Text>
std::string listed(const std::vector<Element>& list, const char* separator, Text text) {
  std::string result = "[";
  for (const Element& element : list) {
    if (result.size() > 1) result += separator;
    result += text(element);
  }
  return result + "]";
}

}  // namespace

std::string setting_text(double value) {
  constexpr std::size_t kMostCharacters = 32;
  char digits[kMostCharacters];
  return {digits, std::to_chars(digits, digits + kMostCharacters, value).ptr};
}

std::string setting_text(const std::vector<std::string>& patterns) {
  return listed(patterns, ", ", [](const std::string& pattern) { return escaped(pattern); });
}

std::string setting_text(const std::vector<UnitGroup>& groups) {
  return listed(groups, "; ", [](const UnitGroup& group) {
    std::string text = escaped(group.name) + "=";
    for (std::size_t i = 0; i < group.patterns.size(); ++i) {
      if (i > 0) text += ',';
      text += escaped(group.patterns[i]);
    }
    return text;
  });
}

std::string setting_text(const std::vector<AdamMiniOptions::Override>& overrides) {
  return listed(overrides, ", ", [](const AdamMiniOptions::Override& given) {
    return escaped(given.pattern) + "=" + std::string(choice_name(given.unit));
  });
}

namespace detail {

std::string read_text(std::string_view text, double& field) {
  double value = 0.0;
  if (!read_number(text, value)) return "a number";
  field = value;
  return {};
}

std::string read_text(std::string_view text, std::int64_t& field) {
  std::int64_t whole = 0;
  if (read_number(text, whole)) {
    field = whole;
    return {};
  }
  double value = 0.0;
  // Beyond 2^53 a double no longer tells one integer from the next.
  if (!read_number(text, value) || std::floor(value) != value || std::fabs(value) > 0x1p53)
    return "an integer";
  field = static_cast<std::int64_t>(value);
  return {};
}

std::string read_text(std::string_view text, bool& field) {
  if (text != "true" && text != "false" && text != "1" && text != "0") return "true or false";
  field = text == "true" || text == "1";
  return {};
}

std::string read_text(std::string_view text, std::vector<std::string>& field) {
  field.clear();
  for (const std::string_view part : split(inside(text), ',')) field.push_back(unescaped(part));
  return {};
}

std::string read_text(std::string_view text, std::vector<UnitGroup>& field) {
  std::vector<UnitGroup> groups;
  for (const std::string_view part : split(inside(text), ';')) {
    const auto sides = split(part, '=');
    if (sides.size() != 2) return "groups as in [name=pattern,pattern; name=pattern]";
    UnitGroup& group = groups.emplace_back(UnitGroup{unescaped(sides[0]), {}});
    for (const std::string_view pattern : split(sides[1], ',')) group.patterns.push_back(unescaped(pattern));
  }
  field = std::move(groups);
  return {};
}

std::string read_text(std::string_view text, std::vector<AdamMiniOptions::Override>& field) {
  std::vector<AdamMiniOptions::Override> overrides;
  for (const std::string_view part : split(inside(text), ',')) {
    const auto sides = split(part, '=');
    if (sides.size() != 2) return "overrides as in [pattern=row, pattern=tensor]";
    AdamMiniOptions::Override& given = overrides.emplace_back();
    given.pattern = unescaped(sides[0]);
    if (std::string expected = read_text(sides[1], given.unit); !expected.empty())
      return concat("with units that are ", expected);
  }
  field = std::move(overrides);
  return {};
}

std::string_view nearest(std::string_view word, const std::vector<std::string_view>& names) {
  const auto distance = [word](std::string_view name) {
    // Levenshtein's, row by row.
    std::vector<std::size_t> row(name.size() + 1);
    std::iota(row.begin(), row.end(), std::size_t{0});
    for (std::size_t i = 0; i < word.size(); ++i) {
      std::size_t diagonal = std::exchange(row[0], i + 1);
      for (std::size_t j = 0; j < name.size(); ++j) {
        const std::size_t replaced = diagonal + (word[i] == name[j] ? 0 : 1);
        diagonal = row[j + 1];
        row[j + 1] = std::min({replaced, row[j] + 1, row[j + 1] + 1});
      }
    }
    return row[name.size()];
  };
  std::string_view best;
  std::size_t least = word.size() / 2 + 1;
  for (const std::string_view name : names) {
    // A word that a name begins or ends with is more like it than its letters say.
    const bool part = word.size() >= 3 && name.find(word) != std::string_view::npos;
    const std::size_t now = part ? std::min<std::size_t>(distance(name), 1) : distance(name);
    if (now > least || (now == least && !best.empty())) continue;
    best = name;
    least = now;
  }
  return best;
}

}  // namespace detail
}  // namespace gradstab
