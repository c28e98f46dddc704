// The settings of one task, whichever it is, visited like all others.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <type_traits>
#include <typeinfo>
#include <utility>
#include <variant>

namespace gradstab::lab {

/// A setting's field, by the types that settings have.
using SettingField = std::variant<bool*, int*, std::int64_t*, std::uint64_t*, double*, std::string*>;

/// Holds a plain struct of settings by value. Beside the struct stands its list,
/// `template <class Settings, class Visit> void visit_settings(Settings&, Visit)`, which calls visit(name,
/// field, help) for each of them. The struct's type is known to its task alone.
class TaskSettings {
 public:
  /// Settings of no task: an empty list.
  TaskSettings() = default;
  template <class Settings>
  requires(!std::is_same_v<Settings, TaskSettings>) explicit TaskSettings(Settings settings)
      : holder_(std::make_unique<Holder<Settings>>(std::move(settings))) {}

  TaskSettings(const TaskSettings& other) : holder_(other.holder_ ? other.holder_->clone() : nullptr) {}
  TaskSettings& operator=(const TaskSettings& other) {
    TaskSettings copy(other);
    holder_ = std::move(copy.holder_);
    return *this;
  }
  TaskSettings(TaskSettings&&) noexcept = default;
  TaskSettings& operator=(TaskSettings&&) noexcept = default;
  ~TaskSettings() = default;

  /// The struct. Throws std::bad_cast if these are settings of another task.
  template <class Settings>
  Settings& as() {
    if (!holder_) throw std::bad_cast();
    return dynamic_cast<Holder<Settings>&>(*holder_).settings;
  }
  template <class Settings>
  const Settings& as() const {
    if (!holder_) throw std::bad_cast();
    return dynamic_cast<const Holder<Settings>&>(*holder_).settings;
  }

  /// Calls visit(name, field, help) for every setting, in the order of the task's list.
  template <class Visit>
  void for_each(Visit& visit) {
    if (!holder_) return;
    holder_->visit([&](const char* name, SettingField field, const char* help) {
      std::visit([&](auto* pointer) { visit(name, *pointer, help); }, field);
    });
  }
  template <class Visit>
  void for_each(Visit& visit) const {
    if (!holder_) return;
    holder_->visit([&](const char* name, SettingField field, const char* help) {
      std::visit([&](const auto* pointer) { visit(name, *pointer, help); }, field);
    });
  }

 private:
  using Visitor = std::function<void(const char*, SettingField, const char*)>;
  struct Base {
    virtual ~Base() = default;
    virtual std::unique_ptr<Base> clone() const = 0;
    virtual void visit(const Visitor& visitor) = 0;
  };
  template <class Settings>
  struct Holder final : Base {
    explicit Holder(Settings value) : settings(std::move(value)) {}
    std::unique_ptr<Base> clone() const override { return std::make_unique<Holder>(settings); }
    void visit(const Visitor& visitor) override {
      visit_settings(settings,
                     [&](const char* name, auto& field, const char* help) { visitor(name, &field, help); });
    }
    Settings settings;
  };

  std::unique_ptr<Base> holder_;
};

}  // namespace gradstab::lab
