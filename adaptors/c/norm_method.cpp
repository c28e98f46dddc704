// A method as callbacks.
#include "gradstab/norm_method.hpp"

#include <memory>
#include <utility>

#include "errors.hpp"
#include "gradstab/gradstab.h"
#include "make_transform.hpp"
#include "settings.hpp"
#include "structs.hpp"

using namespace gradstab;

namespace {

/// What the numbers of a method in C are called, which has them by position: those that belong to no unit,
/// and those of a unit.
constexpr const char* kShared = "shared";
constexpr const char* kOfUnit = "values";

Status status_of(const char* text, StatusCode code) {
  return text == nullptr ? Status() : Status(code, text);
}

class CallbackMethod final : public NormMethod {
 public:
  CallbackMethod(const gradstab_norm_method& given, NormMethodNeeds needs,
                 std::vector<NormMethodSetting> settings)
      : given_(given), name_(given.name), needs_(std::move(needs)), settings_(std::move(settings)) {}
  ~CallbackMethod() override {
    if (owns_user && given_.release != nullptr) given_.release(given_.user);
  }

  std::string name() const override { return name_; }
  NormMethodNeeds needs() const override { return needs_; }
  std::vector<NormMethodSetting> settings() const override { return settings_; }
  std::int32_t version() const override { return given_.version; }

  void reset(std::size_t count) override {
    status_of(given_.reset(count, given_.user), StatusCode::failed_precondition).check();
  }

  Status decide(std::span<UnitStep> units) override {
    steps_.clear();
    for (const UnitStep& unit : units) {
      gradstab_unit_step& step = steps_.emplace_back();
      step = {unit.unit, unit.norm, unit.max_abs, unit.parameter_norm, unit.factor, unit.finite ? 1 : 0, 0};
    }
    GRADSTAB_RETURN_IF_ERROR(
        status_of(given_.decide(steps_.data(), steps_.size(), given_.user), StatusCode::failed_precondition));
    for (std::size_t i = 0; i < units.size(); ++i) {
      units[i].factor = steps_[i].factor;
      units[i].spike = steps_[i].spike != 0;
    }
    return {};
  }

  std::vector<MethodValues> save() const override { return values_of(GRADSTAB_NO_UNIT); }
  Status load(std::span<const MethodValues> values, std::int32_t version) override {
    return set_values(GRADSTAB_NO_UNIT, values, version);
  }
  std::vector<MethodValues> save_unit(std::size_t unit) const override { return values_of(unit); }
  Status load_unit(std::size_t unit, std::span<const MethodValues> values, std::int32_t version) override {
    return set_values(unit, values, version);
  }

  bool owns_user = false;

 private:
  std::vector<MethodValues> values_of(std::size_t unit) const {
    if (given_.save == nullptr) return {};
    std::vector<double> values(given_.save(unit, nullptr, 0, given_.user));
    if (!values.empty() && given_.save(unit, values.data(), values.size(), given_.user) != values.size())
      throw Error({StatusCode::failed_precondition, "save gives another number of values when called again"});
    return {{unit == GRADSTAB_NO_UNIT ? kShared : kOfUnit, std::move(values)}};
  }

  Status set_values(std::size_t unit, std::span<const MethodValues> values, std::int32_t version) {
    if (given_.load == nullptr || values.empty()) return {};
    const std::vector<double>& numbers = values.front().values;
    return status_of(given_.load(unit, numbers.data(), numbers.size(), version, given_.user),
                     StatusCode::corrupt_data);
  }

  gradstab_norm_method given_;
  std::string name_;
  NormMethodNeeds needs_;
  std::vector<NormMethodSetting> settings_;
  std::vector<gradstab_unit_step> steps_;
};

Result<NormMethodNeeds> read_needs(const gradstab_norm_method& given) {
  NormMethodNeeds needs;
  auto units = c::read_units(given.units);
  if (!units) return units.status();
  needs.units = std::move(*units);
  const auto some_units = c::read_flag("some_units", given.some_units);
  if (!some_units) return some_units.status();
  needs.all_units = !*some_units;
  const auto max_abs = c::read_flag("max_abs", given.max_abs);
  if (!max_abs) return max_abs.status();
  needs.max_abs = *max_abs;
  const auto parameter_norms = c::read_flag("parameter_norms", given.parameter_norms);
  if (!parameter_norms) return parameter_norms.status();
  needs.parameter_norms = *parameter_norms;
  return needs;
}

Result<std::vector<NormMethodSetting>> read_settings(const gradstab_norm_method& given) {
  if (given.settings == nullptr && given.setting_count > 0)
    return c::null_argument("settings", "an array of ", given.setting_count);
  std::vector<NormMethodSetting> settings;
  for (size_t i = 0; i < given.setting_count; ++i) {
    const gradstab_setting& setting = given.settings[i];
    if (setting.name == nullptr) return c::invalid("name of setting ", i, " is NULL, expected a text");
    NormMethodSetting& read = settings.emplace_back();
    read.name = setting.name;
    if (setting.text == nullptr) {
      read.value = setting.number;
    } else {
      read.value = std::string(setting.text);
    }
  }
  return settings;
}

}  // namespace

gradstab_status gradstab_own_method(const gradstab_norm_method* method, gradstab_transform** transform) {
  CallbackMethod* made = nullptr;
  const gradstab_status status = c::make_transform(transform, [&]() -> Result<GradientTransform> {
    if (method == nullptr) return c::null_argument("method", "a gradstab_norm_method");
    gradstab_norm_method given;
    GRADSTAB_RETURN_IF_ERROR(c::read_struct(method, given));
    if (given.name == nullptr) return c::null_argument("name", "that of the method");
    if (given.reset == nullptr || given.decide == nullptr)
      return c::null_argument(given.reset == nullptr ? "reset" : "decide", "a function");
    if ((given.save == nullptr) != (given.load == nullptr))
      return c::null_argument(given.save == nullptr ? "save" : "load",
                              "a function, as the other one is there");
    auto needs = read_needs(given);
    if (!needs) return needs.status();
    auto settings = read_settings(given);
    if (!settings) return settings.status();
    auto own = std::make_unique<CallbackMethod>(given, std::move(*needs), std::move(*settings));
    made = own.get();
    return norm_method(std::move(own));
  });
  if (status == GRADSTAB_OK && made != nullptr) made->owns_user = true;
  return status;
}
