// RecordedSettings: the hyper-parameters of one recorded case, overridden by what the user sets.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>

#include "gradstab/methods.hpp"
#include "gradstab/status.hpp"
#include "lab/support/json.hpp"

namespace gradstab::lab {

/// Values by name. Asking for a name makes it known, so that a misspelt override is noticed afterwards.
class RecordedSettings {
 public:
  /// `overrides` as text, which is read as the number, truth value or word that the method asks for.
  RecordedSettings(Json recorded, const std::map<std::string, std::string>& overrides);

  /// Replaces `field` where there is a value of that name. A recorded null is infinity for a number and
  /// leaves anything else as it is.
  void read(const std::string& name, double& field);
  void read(const std::string& name, std::int64_t& field);
  void read(const std::string& name, std::uint64_t& field);
  void read(const std::string& name, bool& field);
  void read(const std::string& name, std::string& field);
  /// The value of that name as a text for a setting of this kind; nothing where there is none.
  std::optional<std::string> text(const std::string& name, SettingKind kind);
  bool has(const std::string& name) const;
  bool overridden(const std::string& name) const { return overrides_.contains(name); }

  /// All of them, asked for or not.
  const Json& values() const noexcept { return values_; }

  /// The first value that could not be read, or an override that nothing asked for.
  Status status() const;

 private:
  /// The value as JSON; null where there is none.
  Json take(const std::string& name);
  template <class T>
  void read_typed(const std::string& name, std::optional<T> (*as)(const Json&), const char* expected,
                  T& field);
  void refuse(const std::string& name, const Json& value, const char* expected);

  Json values_;
  std::set<std::string> overrides_;
  std::set<std::string> known_;
  Status error_;
};

}  // namespace gradstab::lab
