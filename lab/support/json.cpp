#include "lab/support/json.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <utility>

#include "lab/support/files.hpp"

namespace gradstab::lab {
namespace {

constexpr std::size_t kMostShown = 60;

Status corrupt(const std::string& name, const std::string& what) {
  return {StatusCode::corrupt_data, name.empty() ? what : name + ": " + what};
}

/// Whether more than kDeepestJson brackets are open at once. Told before the parser sees the text, since what
/// it builds of a deep text cannot be copied or compared.
bool is_too_deep(std::string_view text) {
  int depth = 0;
  bool in_string = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string) {
      if (c == '\\') ++i;
      if (c == '"') in_string = false;
    } else if (c == '"') {
      in_string = true;
    } else if (c == '[' || c == '{') {
      if (++depth > kDeepestJson) return true;
    } else if (c == ']' || c == '}') {
      --depth;
    }
  }
  return false;
}

/// "line 3, column 14", and of a text of one line "column 14"; `byte` counts from 1.
std::string place_of(std::string_view text, std::size_t byte) {
  const std::string_view before = text.substr(0, std::min(byte == 0 ? 0 : byte - 1, text.size()));
  const std::size_t line_start = before.rfind('\n') + 1;  // npos + 1 is 0
  std::string column = fmt::format("column {}", 1 + before.size() - line_start);
  if (text.find('\n') == std::string_view::npos) return column;
  return fmt::format("line {}, {}", 1 + std::count(before.begin(), before.end(), '\n'), column);
}

/// Stops soon after kMostShown bytes, however large the value is.
void show(const Json& value, std::string& text) {
  const auto between = [&](char open, char close, bool keys) {
    text += open;
    bool first = true;
    for (const auto& [key, member] : value.items()) {
      if (text.size() > kMostShown) return;
      if (!first) text += ',';
      first = false;
      if (keys) show(Json(key), text), text += ':';
      show(member, text);
    }
    text += close;
  };
  if (value.is_object()) return between('{', '}', true);
  if (value.is_array()) return between('[', ']', false);
  const auto* const string = value.get_ptr<const Json::string_t*>();
  const bool cut = string != nullptr && string->size() > kMostShown;
  // What comes from a command line need not be UTF-8.
  text += (cut ? Json(string->substr(0, kMostShown)) : value)
              .dump(-1, ' ', /*ensure_ascii=*/true, Json::error_handler_t::replace);
}

std::string whole_text(std::int64_t least, std::int64_t most) {
  constexpr std::int64_t kLeast = std::numeric_limits<std::int64_t>::min();
  constexpr std::int64_t kMost = std::numeric_limits<std::int64_t>::max();
  if (least == kLeast && most == kMost) return "a whole number";
  if (most == kMost) return fmt::format("a whole number of at least {}", least);
  return fmt::format("a whole number from {} to {}", least, most);
}

const Json& empty_object() {
  static const Json empty = Json::object();
  return empty;
}

}  // namespace

Result<Json> parse_json(std::string_view text, const std::string& name, std::size_t most_bytes) {
  if (text.size() > most_bytes)
    return corrupt(
        name, fmt::format("is too large: {} bytes of JSON, expected at most {}", text.size(), most_bytes));
  if (is_too_deep(text))
    return corrupt(name, fmt::format("is nested too deep: expected at most {} levels of lists and objects",
                                     kDeepestJson));
  try {
    return Json::parse(text);
  } catch (const Json::parse_error& error) {
    // As Python writes them where it is not told otherwise.
    for (const std::string_view no_number : {"NaN", "Infinity"})
      if (error.byte > 0 && text.substr(std::min(error.byte - 1, text.size())).starts_with(no_number))
        return corrupt(name, fmt::format("holds {} at {}, which is not a JSON number", no_number,
                                         place_of(text, error.byte)));
    return corrupt(
        name, fmt::format("expected JSON, but it does not parse from {} on", place_of(text, error.byte)));
  } catch (const Json::exception&) {
    return corrupt(name, "holds a number that is too large for 64-bit floating point");
  }
}

Result<Json> parse_json_object(std::string_view text, const std::string& name, std::size_t most_bytes) {
  auto value = parse_json(text, name, most_bytes);
  if (value && !value->is_object())
    return corrupt(name, fmt::format("expected a JSON object, found {}", value->type_name()));
  return value;
}

Result<Json> read_json_object(const std::filesystem::path& path) {
  const auto text = read_file(path, kDescriptionFile);
  if (!text) return text.status();
  return parse_json_object(*text, path.string());
}

std::string shown(const Json& value) {
  std::string text;
  show(value, text);
  if (text.size() > kMostShown) text = text.substr(0, kMostShown) + "...";
  return text;
}

std::string differences(const Json& found, const Json& expected) {
  std::vector<std::string> texts;
  const auto value_in = [](const Json& object, const std::string& key) {
    return object.contains(key) ? shown(object[key]) : "missing";
  };
  const auto compare = [&](const std::string& key) {
    const std::string has = value_in(found, key), wanted = value_in(expected, key);
    if (has != wanted) texts.push_back(fmt::format("{} is {}, expected {}", key, has, wanted));
  };
  for (const auto& [key, value] : expected.items()) compare(key);
  for (const auto& [key, value] : found.items())
    if (!expected.contains(key)) compare(key);
  return fmt::format("{}", fmt::join(texts, "; "));
}

std::optional<double> as_number(const Json& value) {
  if (!value.is_number()) return {};
  return value.get<double>();
}

std::optional<std::int64_t> as_whole(const Json& value) {
  if (!value.is_number_integer()) return {};
  if (value.is_number_unsigned() &&
      value.get<std::uint64_t>() > std::uint64_t{std::numeric_limits<std::int64_t>::max()})
    return {};
  return value.get<std::int64_t>();
}

std::optional<std::uint64_t> as_unsigned(const Json& value) {
  // A number made in this program may be signed and still not negative.
  if (!value.is_number_integer() || (!value.is_number_unsigned() && value.get<std::int64_t>() < 0)) return {};
  return value.get<std::uint64_t>();
}

std::optional<bool> as_truth(const Json& value) {
  if (!value.is_boolean()) return {};
  return value.get<bool>();
}

std::optional<std::string> as_text(const Json& value) {
  if (!value.is_string()) return {};
  return value.get<std::string>();
}

struct JsonReader::Complaint {
  std::string name;
  Status status;
};

JsonReader::JsonReader(const Json& document, std::string name)
    : JsonReader(&document, "", std::make_shared<Complaint>(Complaint{std::move(name), {}})) {}

JsonReader::JsonReader(const Json* value, std::string path, std::shared_ptr<Complaint> complaint)
    : value_(value), path_(std::move(path)), complaint_(std::move(complaint)) {}

JsonReader JsonReader::operator[](std::string_view key) const {
  const Json* found = nullptr;
  if (value_ != nullptr && value_->is_object()) {
    const auto member = value_->find(key);
    if (member != value_->end()) found = &*member;
  } else {
    refuse("an object");
  }
  std::string path = path_;
  if (!path.empty()) path += '.';
  path += key;
  return {found, std::move(path), complaint_};
}

JsonReader JsonReader::item(std::size_t index) const {
  const bool there = value_ != nullptr && value_->is_array() && index < value_->size();
  return {there ? &(*value_)[index] : nullptr, fmt::format("{}[{}]", path_, index), complaint_};
}

std::size_t JsonReader::size() const {
  if (value_ != nullptr && value_->is_array()) return value_->size();
  refuse("a list");
  return 0;
}

std::vector<std::string> JsonReader::keys() const {
  std::vector<std::string> keys;
  for (const auto& item : object().items()) keys.push_back(item.key());
  return keys;
}

bool JsonReader::exists() const noexcept {
  return value_ != nullptr && !value_->is_null();
}

double JsonReader::number() const {
  double value = std::numeric_limits<double>::quiet_NaN();
  read(value);
  return value;
}

std::optional<std::int64_t> JsonReader::whole_within(std::int64_t least, std::int64_t most) const {
  const auto value = value_ != nullptr ? as_whole(*value_) : std::nullopt;
  if (value && *value >= least && *value <= most) return value;
  refuse(whole_text(least, most));
  return {};
}

std::int64_t JsonReader::whole(std::int64_t least, std::int64_t most) const {
  return whole_within(least, most).value_or(0);
}

bool JsonReader::truth() const {
  bool value = false;
  read(value);
  return value;
}

std::string JsonReader::text() const {
  std::string value;
  read(value);
  return value;
}

std::vector<double> JsonReader::numbers() const {
  std::vector<double> values;
  const std::size_t count = size();
  values.reserve(count);
  for (std::size_t i = 0; i < count; ++i) {
    const Json& value = (*value_)[i];
    const auto number = as_number(value);
    if (!number && !value.is_null()) item(i).refuse("a number or null");
    values.push_back(number.value_or(std::numeric_limits<double>::quiet_NaN()));
  }
  return values;
}

const Json& JsonReader::object() const {
  if (value_ != nullptr && value_->is_object()) return *value_;
  refuse("an object");
  return empty_object();
}

double JsonReader::number_or_nan() const {
  const auto value = exists() ? as_number(*value_) : std::nullopt;
  if (exists() && !value) refuse("a number or null");
  return value.value_or(std::numeric_limits<double>::quiet_NaN());
}

std::int64_t JsonReader::whole_or(std::int64_t otherwise) const {
  return exists() ? whole() : otherwise;
}

bool JsonReader::truth_or(bool otherwise) const {
  return exists() ? truth() : otherwise;
}

std::string JsonReader::text_or(std::string otherwise) const {
  return exists() ? text() : std::move(otherwise);
}

const Json& JsonReader::object_or_empty() const {
  return exists() ? object() : empty_object();
}

void JsonReader::read(double& field) const {
  const auto value = value_ != nullptr ? as_number(*value_) : std::nullopt;
  if (!value) return refuse("a number");
  field = *value;
}

void JsonReader::read(int& field) const {
  const auto value = whole_within(std::numeric_limits<int>::min(), std::numeric_limits<int>::max());
  if (value) field = static_cast<int>(*value);
}

void JsonReader::read(std::int64_t& field) const {
  const auto value =
      whole_within(std::numeric_limits<std::int64_t>::min(), std::numeric_limits<std::int64_t>::max());
  if (value) field = *value;
}

void JsonReader::read(std::uint64_t& field) const {
  const auto value = value_ != nullptr ? as_unsigned(*value_) : std::nullopt;
  if (!value) return refuse("a whole number of at least 0");
  field = *value;
}

void JsonReader::read(bool& field) const {
  const auto value = value_ != nullptr ? as_truth(*value_) : std::nullopt;
  if (!value) return refuse("true or false");
  field = *value;
}

void JsonReader::read(std::string& field) const {
  auto value = value_ != nullptr ? as_text(*value_) : std::nullopt;
  if (!value) return refuse("a text");
  field = *std::move(value);
}

void JsonReader::refuse(std::string_view expected) const {
  if (!complaint_->status.ok()) return;
  complaint_->status =
      corrupt(complaint_->name, fmt::format("{} must be {}, got {}", path_.empty() ? "it" : path_, expected,
                                            value_ != nullptr ? shown(*value_) : "nothing"));
}

const Status& JsonReader::status() const noexcept {
  return complaint_->status;
}

}  // namespace gradstab::lab
