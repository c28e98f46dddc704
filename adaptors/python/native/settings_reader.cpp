#include "settings_reader.hpp"

#include <charconv>
#include <cmath>

#include "errors.hpp"

namespace gradstab::python {
namespace {

[[noreturn]] void refuse(const std::string& message) {
  raise({StatusCode::invalid_argument, message});
}

std::string text_of(double number) {
  constexpr std::size_t kMostCharacters = 32;
  char digits[kMostCharacters];
  return {digits, std::to_chars(digits, digits + kMostCharacters, number).ptr};
}

std::vector<std::string> strings(const c10::List<std::string>& list) {
  std::vector<std::string> result;
  for (std::size_t i = 0; i < list.size(); ++i) result.push_back(list.get(i));
  return result;
}

}  // namespace

std::optional<double> SettingsReader::number(const std::string& name) {
  taken_.insert(name);
  const auto found = numbers_.find(name);
  if (found == numbers_.end()) return {};
  return found->value();
}

void SettingsReader::take(const std::string& name, double& field) {
  if (const auto given = number(name)) field = *given;
}

void SettingsReader::take(const std::string& name, bool& field) {
  if (const auto given = number(name)) field = *given != 0.0;
}

void SettingsReader::take(const std::string& name, std::int64_t& field) {
  const auto given = number(name);
  if (!given) return;
  // Beyond 2^53 a double no longer tells one integer from the next.
  if (std::floor(*given) != *given || std::fabs(*given) > 0x1p53) {
    refuse(name + " of " + what_ + " must be an integer, got " + text_of(*given));
  }
  field = static_cast<std::int64_t>(*given);
}

void SettingsReader::take(const std::string& name, std::vector<std::string>& field) {
  taken_.insert(name);
  const auto found = words_.find(name);
  if (found != words_.end()) field = strings(found->value());
}

std::vector<std::pair<std::string, std::vector<std::string>>> SettingsReader::take_prefixed(
    const std::string& prefix) {
  std::vector<std::pair<std::string, std::vector<std::string>>> result;
  for (const auto& entry : words_) {
    if (entry.key().compare(0, prefix.size(), prefix) != 0) continue;
    taken_.insert(entry.key());
    result.emplace_back(entry.key().substr(prefix.size()), strings(entry.value()));
  }
  return result;
}

std::optional<std::string> SettingsReader::take_word(const std::string& name) {
  std::vector<std::string> list;
  take(name, list);
  if (list.empty()) return {};
  return list.front();
}

void SettingsReader::unknown_word(const std::string& name, const std::string& word,
                                  const std::vector<std::string>& known) const {
  std::string message = name + " of " + what_ + " must be one of";
  for (std::size_t i = 0; i < known.size(); ++i) message += (i == 0 ? " '" : ", '") + known[i] + "'";
  refuse(message + ", got '" + word + "'");
}

void SettingsReader::finish() const {
  for (const auto& entry : numbers_) {
    if (!taken_.count(entry.key())) refuse("'" + entry.key() + "' is no setting of " + what_);
  }
  for (const auto& entry : words_) {
    if (!taken_.count(entry.key())) refuse("'" + entry.key() + "' is no setting of " + what_);
  }
}

}  // namespace gradstab::python
