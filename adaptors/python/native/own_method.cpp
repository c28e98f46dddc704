#include "own_method.hpp"

#include <ATen/ATen.h>

#include <map>
#include <memory>
#include <mutex>
#include <utility>

#include "errors.hpp"

namespace gradstab::python {
namespace {

Ask ask_python = nullptr;

/// Objects by number. Numbers are not used twice.
struct Registry {
  std::mutex mutex;
  std::int64_t last = 0;
  std::map<std::int64_t, OwnMethod*> objects;
};

/// Never destroyed, because objects may outlive whatever is destroyed at exit.
Registry& registry() {
  static Registry& instance = *new Registry;
  return instance;
}

StatusCode code_named(const std::string& name) {
  for (const StatusCode code : {StatusCode::invalid_argument, StatusCode::corrupt_data}) {
    if (to_string(code) == name) return code;
  }
  return StatusCode::failed_precondition;
}

}  // namespace

void set_ask(std::int64_t address) {
  ask_python = reinterpret_cast<Ask>(address);
}

/// What the library holds.
class PythonMethod final : public NormMethod {
 public:
  explicit PythonMethod(c10::intrusive_ptr<OwnMethod> method) : own_(std::move(method)) {}
  ~PythonMethod() override { own_->left_ = true; }

  std::string name() const override { return own_->name_; }
  NormMethodNeeds needs() const override { return own_->needs_; }
  std::vector<NormMethodSetting> settings() const override { return own_->settings_; }
  std::int32_t version() const override { return own_->version_; }

  void reset(std::size_t count) override { ask(Question::reset, count); }

  Status decide(std::span<UnitStep> units) override {
    constexpr std::int64_t kColumns = 5;
    const auto count = static_cast<std::int64_t>(units.size());
    own_->steps_ = at::empty({count, kColumns}, at::kDouble);
    auto* number = own_->steps_.data_ptr<double>();
    for (const UnitStep& unit : units) {
      for (const double value : {static_cast<double>(unit.unit), unit.norm, unit.finite ? 1.0 : 0.0,
                                 unit.max_abs, unit.parameter_norm})
        *number++ = value;
    }
    ask(Question::decide, 0);
    const auto* factor = own_->factors_.data_ptr<double>();
    const auto* spike = own_->spikes_.data_ptr<bool>();
    for (std::size_t i = 0; i < units.size(); ++i) {
      units[i].factor = factor[i];
      units[i].spike = spike[i];
    }
    return {};
  }

  std::vector<MethodValues> save() const override { return remembered(Question::save, 0); }
  Status load(std::span<const MethodValues> values, std::int32_t version) override {
    return give(Question::load, 0, values, version);
  }
  std::vector<MethodValues> save_unit(std::size_t unit) const override {
    return remembered(Question::save_unit, unit);
  }
  Status load_unit(std::size_t unit, std::span<const MethodValues> values, std::int32_t version) override {
    return give(Question::load_unit, unit, values, version);
  }

 private:
  void ask(Question question, std::size_t unit) const {
    own_->error_ = {};
    if (ask_python(own_->id_, static_cast<std::int32_t>(question), static_cast<std::int64_t>(unit)) == 0)
      return;
    const Status none(StatusCode::failed_precondition, "Python does not answer");
    (own_->error_.ok() ? none : own_->error_).check();
  }

  std::vector<MethodValues> remembered(Question question, std::size_t unit) const {
    ask(question, unit);
    std::vector<MethodValues> result;
    for (std::size_t i = 0; i < own_->names_.size(); ++i) {
      const at::Tensor& values = own_->values_[i];
      const auto* first = values.data_ptr<double>();
      result.push_back({own_->names_[i], {first, first + values.numel()}});
    }
    return result;
  }

  Status give(Question question, std::size_t unit, std::span<const MethodValues> values,
              std::int32_t version) const {
    own_->names_.clear();
    own_->values_.clear();
    for (const MethodValues& one : values) {
      own_->names_.push_back(one.name);
      own_->values_.push_back(at::tensor(one.values, at::kDouble));
    }
    own_->loaded_version_ = version;
    ask(question, unit);
    return {};
  }

  c10::intrusive_ptr<OwnMethod> own_;
};

OwnMethod::OwnMethod(std::string name, std::int64_t version, const Numbers& numbers, const Words& words,
                     const Words& units, bool all_units, bool max_abs, bool parameter_norms)
    : name_(std::move(name)),
      version_(static_cast<std::int32_t>(version)),
      needs_{to_units(units), all_units, max_abs, parameter_norms} {
  for (const auto& entry : numbers) settings_.push_back({entry.key(), entry.value()});
  for (const auto& entry : words) settings_.push_back({entry.key(), entry.value().get(0)});
  const std::lock_guard lock(registry().mutex);
  id_ = ++registry().last;
  registry().objects.emplace(id_, this);
}

OwnMethod::~OwnMethod() {
  const std::lock_guard lock(registry().mutex);
  registry().objects.erase(id_);
}

void OwnMethod::set_decision(at::Tensor factors, at::Tensor spikes) {
  factors_ = std::move(factors);
  spikes_ = std::move(spikes);
}

void OwnMethod::set_memory(std::vector<std::string> names, std::vector<at::Tensor> values) {
  names_ = std::move(names);
  values_ = std::move(values);
}

void OwnMethod::set_error(const std::string& code, std::string message) {
  error_ = {code_named(code), std::move(message)};
}

GradientTransform OwnMethod::make(std::int64_t id) {
  c10::intrusive_ptr<OwnMethod> method;
  {
    const std::lock_guard lock(registry().mutex);
    const auto found = registry().objects.find(id);
    // _own_methods.py holds it, so it is not about to go.
    if (found != registry().objects.end())
      method = c10::intrusive_ptr<OwnMethod>::unsafe_reclaim_from_nonowning(found->second);
  }
  if (!method) raise({StatusCode::failed_precondition, "there is no method of id " + std::to_string(id)});
  return norm_method(std::make_unique<PythonMethod>(std::move(method)));
}

}  // namespace gradstab::python
