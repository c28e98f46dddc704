// Takes the settings of one method out of their dictionaries, and notices those that nobody asked for.
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "settings.hpp"

namespace gradstab::python {

/// Every `take` leaves the field alone where the setting is not given. `finish` throws if one was given that
/// no `take` named.
class SettingsReader {
 public:
  SettingsReader(std::string what, const Numbers& numbers, const Words& words)
      : what_(std::move(what)), numbers_(numbers), words_(words) {}

  void take(const std::string& name, double& field);
  void take(const std::string& name, bool& field);
  /// Throws where the number is no integer.
  void take(const std::string& name, std::int64_t& field);
  void take(const std::string& name, std::vector<std::string>& field);

  /// One of `choices` by its name; throws with the list of them otherwise.
  template <class Choice>
  void take(const std::string& name, Choice& field,
            const std::vector<std::pair<std::string, Choice>>& choices) {
    const std::optional<std::string> word = take_word(name);
    if (!word) return;
    std::vector<std::string> known;
    for (const auto& [choice, its_value] : choices) {
      if (choice == *word) {
        field = its_value;
        return;
      }
      known.push_back(choice);
    }
    unknown_word(name, *word, known);
  }

  /// Lists whose name begins with `prefix`, in the order given, without it.
  std::vector<std::pair<std::string, std::vector<std::string>>> take_prefixed(const std::string& prefix);

  void finish() const;

 private:
  std::optional<double> number(const std::string& name);
  std::optional<std::string> take_word(const std::string& name);
  [[noreturn]] void unknown_word(const std::string& name, const std::string& word,
                                 const std::vector<std::string>& known) const;

  std::string what_;
  Numbers numbers_;  // handles: copying one shares the dictionary
  Words words_;
  std::set<std::string> taken_;
};

}  // namespace gradstab::python
