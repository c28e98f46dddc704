// "zclip(z_threshold=3)+stabilize": taken apart and put together.
#include <algorithm>
#include <optional>

#include "core/base/setting_text.hpp"
#include "core/base/text.hpp"
#include "gradstab/methods.hpp"

namespace gradstab {
namespace {

bool is_of_name(char character) {
  return (character >= 'a' && character <= 'z') || (character >= 'A' && character <= 'Z') ||
         (character >= '0' && character <= '9') || character == '_';
}

/// Reads a text from left to right.
class Reader {
 public:
  explicit Reader(std::string_view text) : text_(text) {}

  bool at_end() {
    skip_blanks();
    return position_ == text_.size();
  }

  /// Passes over this character, if it comes next.
  bool passes(char character) {
    if (at_end() || text_[position_] != character) return false;
    ++position_;
    return true;
  }

  std::string_view name() {
    skip_blanks();
    const std::size_t begin = position_;
    while (position_ < text_.size() && is_of_name(text_[position_])) ++position_;
    return text_.substr(begin, position_ - begin);
  }

  /// Up to a comma or parenthesis outside of brackets, without blanks at its ends.
  std::string_view value() {
    skip_blanks();
    const std::size_t begin = position_;
    bool in_list = false;
    for (; position_ < text_.size(); ++position_) {
      const char character = text_[position_];
      if (character == '\\' && position_ + 1 < text_.size()) {
        ++position_;
      } else if (character == '[') {
        in_list = true;
      } else if (character == ']') {
        in_list = false;
      } else if (!in_list && (character == ',' || character == ')')) {
        break;
      }
    }
    std::size_t end = position_;
    while (end > begin && text_[end - 1] == ' ') --end;
    return text_.substr(begin, end - begin);
  }

  /// Says what was expected where the text goes on otherwise.
  Status expected(std::string_view what) {
    skip_blanks();
    const std::string_view rest = text_.substr(position_);
    const std::string found = rest.empty() ? "its end" : detail::concat("'", rest, "'");
    return {StatusCode::invalid_argument,
            detail::concat("transform '", text_, "' must have ", what, " where it has ", found)};
  }

 private:
  void skip_blanks() {
    while (position_ < text_.size() &&
           std::string_view(" \t\n").find(text_[position_]) != std::string_view::npos)
      ++position_;
  }

  std::string_view text_;
  std::size_t position_ = 0;
};

/// The setting of today's name. Errors: there is none; it was given before.
Status read_setting(Reader& reader, const MethodInfo& info, MethodText& link) {
  const std::string_view name = reader.name();
  if (name.empty()) return reader.expected("the name of a setting");
  if (!reader.passes('=')) return reader.expected(detail::concat("'=' behind ", name));
  std::string now(name);
  for (const SettingInfo& known : info.settings) {
    if (known.setting.formerly == name) now = known.setting.name;
  }
  const std::string text(reader.value());
  if (text.empty()) return reader.expected(detail::concat("a value of ", name));
  const bool twice =
      std::ranges::any_of(link.settings, [&](const SettingText& given) { return given.name == now; });
  if (twice) return {StatusCode::invalid_argument, detail::concat(now, " of ", info.name, " is given twice")};
  link.settings.push_back({std::move(now), text});
  return {};
}

Result<MethodText> read_link(Reader& reader) {
  const std::string_view name = reader.name();
  if (name.empty()) return reader.expected("the name of a method");
  const auto found = find_method(name);
  if (!found) return found.status();
  MethodText link{std::string((*found)->name), {}};
  if (!reader.passes('(') || reader.passes(')')) return link;
  do {
    GRADSTAB_RETURN_IF_ERROR(read_setting(reader, **found, link));
  } while (reader.passes(','));
  if (!reader.passes(')')) return reader.expected("',' or ')'");
  return link;
}

}  // namespace

Result<std::vector<MethodText>> parse_transform(std::string_view text) {
  std::vector<MethodText> links;
  Reader reader(text);
  do {
    auto link = read_link(reader);
    if (!link) return link.status();
    links.push_back(std::move(*link));
  } while (reader.passes('+'));
  if (!reader.at_end()) return reader.expected("'+' or '('");
  // Whether the settings are there and their values can be read is known to the methods alone.
  if (const auto made = make_chain(links); !made) return made.status();
  return links;
}

std::string to_text(std::span<const MethodText> links) {
  std::string text;
  for (const MethodText& link : links) {
    if (!text.empty()) text += '+';
    text += link.method;
    for (std::size_t i = 0; i < link.settings.size(); ++i)
      text += detail::concat(i == 0 ? "(" : ", ", link.settings[i].name, "=", link.settings[i].text);
    if (!link.settings.empty()) text += ')';
  }
  return text;
}

Result<GradientTransform> transform_from_text(std::string_view text) {
  auto links = parse_transform(text);
  if (!links) return links.status();
  return make_chain(*links);
}

}  // namespace gradstab
