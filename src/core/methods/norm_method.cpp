// A link that asks a method of somebody else's, believes nothing that it says, and can be undone.
#include "gradstab/norm_method.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <iterator>
#include <utility>

#include "core/base/floating_point.hpp"
#include "core/base/interned.hpp"
#include "core/base/text.hpp"
#include "core/methods/unit_transform.hpp"
#include "gradstab/methods.hpp"

namespace gradstab {
namespace {

bool is_proper(std::string_view name) {
  return !name.empty() && std::ranges::all_of(name, [](char character) {
    return (character >= 'a' && character <= 'z') || (character >= '0' && character <= '9') ||
           character == '_';
  });
}

class NormMethodLink final : public UnitTransform {
 public:
  NormMethodLink(std::unique_ptr<NormMethod> method, NormMethodNeeds needs)
      : UnitTransform(needs.units),
        method_(std::move(method)),
        needs_(std::move(needs)),
        name_(interned(method_->name())),
        version_(method_->version()),
        settings_(method_->settings()) {}

  std::string_view name() const noexcept override { return name_; }
  bool may_fail() const noexcept override { return true; }
  bool needs_all_tensors() const noexcept override {
    return needs_.all_units || UnitTransform::needs_all_tensors();
  }
  NormNeeds needs() const noexcept override {
    return {.max_abs = needs_.max_abs, .parameter_norms = needs_.parameter_norms};
  }

  Status validate() const override {
    if (!is_proper(name_)) {
      return {StatusCode::invalid_argument, detail::concat("a method is called '", name_,
                                                           "', expected lower-case letters, digits and '_'")};
    }
    if (find_method(name_)) {
      return {StatusCode::invalid_argument,
              detail::concat("a method is called '", name_, "', which is one of the library's own")};
    }
    if (version_ < 1) {
      return {StatusCode::invalid_argument,
              detail::concat("version of '", name_, "' must be at least 1, got ", version_)};
    }
    return UnitTransform::validate();
  }

  Status bind(const ParameterSet& parameters, const Segments& segments) override {
    GRADSTAB_RETURN_IF_ERROR(UnitTransform::bind(parameters, segments));
    return asked("reset", [&] {
      method_->reset(map().count());
      return check_memory();
    });
  }

  void decide(std::size_t first, std::span<TensorReport> reports,
              const Measures& measures) noexcept override {
    gather(first, reports, measures);
    if (steps_.empty()) return;
    failure_ = asked("decide", [&] { return method_->decide(steps_); });
    if (failure_.ok()) failure_ = check_factors();
    if (failure_.ok()) multiply(first, reports);
  }
  Status take_failure() noexcept override { return std::exchange(failure_, {}); }

  std::vector<StateField> state() const override {
    std::vector<StateField> fields;
    const auto add = [&](const std::vector<MethodValues>& values) {
      for (const MethodValues& one : values) {
        const std::string_view name = interned(one.name);
        auto found = std::ranges::find(fields, name, &StateField::name);
        if (found == fields.end()) found = fields.insert(found, {name, {}});
        found->values.insert(found->values.end(), one.values.begin(), one.values.end());
      }
    };
    add(saved("save", [&] { return method_->save(); }));
    for (std::size_t unit = 0; unit < map().count(); ++unit)
      add(saved("save_unit", [&] { return method_->save_unit(unit); }));
    return fields;
  }

  void save_settings(SettingsWriter& settings) const override {
    for (const NormMethodSetting& setting : settings_)
      std::visit([&](const auto& value) { settings.put(setting.name, value); }, setting.value);
    save_units(settings);
  }

  void save_state(ByteWriter& writer, IndexRange tensors) const override {
    writer.put(version_);
    put(writer, saved("save", [&] { return method_->save(); }));
    UnitTransform::save_state(writer, tensors);
  }

  /// As `save_state`, with as many zeros under each name as `count` says.
  void save_room(ByteWriter& writer, IndexRange tensors, const CountOfValues& count) const override {
    const std::size_t units = std::max<std::size_t>(units_of(tensors).size(), 1);
    writer.put(version_);
    const Room shared(*this, {&count, 1});
    put(writer, saved("save", [&] { return method_->save(); }));
    const Room of_units(*this, {&count, units});
    UnitTransform::save_state(writer, tensors);
  }

  Status load_state(ByteReader& reader, const SavedParameters& parameters) override {
    loading_ = reader.get<std::int32_t>();
    if (loading_ > version_) {
      return {StatusCode::version_mismatch,
              detail::concat("state of '", name_, "' has version ", loading_, ", which this one, of version ",
                             version_, ", does not read")};
    }
    if (reader.ok() && loading_ < 1) return corrupt("has version ", loading_, ", expected at least 1");
    const auto values = read(reader, [&] { return method_->save(); });
    if (!values) return values.status();
    GRADSTAB_RETURN_IF_ERROR(asked("load", [&] { return method_->load(*values, loading_); }));
    return UnitTransform::load_state(reader, parameters);
  }

 protected:
  void reset_units(std::size_t count) override {
    steps_.clear();
    steps_.reserve(count);
    failure_ = {};
  }

  void save_unit(ByteWriter& writer, std::size_t unit) const override {
    put(writer, saved("save_unit", [&] { return method_->save_unit(unit); }));
  }

  Status load_unit(ByteReader& reader, std::ptrdiff_t position) override {
    const auto unit = static_cast<std::size_t>(std::max<std::ptrdiff_t>(position, 0));
    const auto values = read(
        reader, [&] { return position < 0 ? std::vector<MethodValues>() : method_->save_unit(unit); },
        position >= 0);
    if (!values || position < 0) return values.status();
    return asked("load_unit", [&] { return method_->load_unit(unit, *values, loading_); });
  }

 private:
  /// Where numbers are to be put later: how many there are, of so many units together.
  struct WantedRoom {
    const CountOfValues* count = nullptr;
    std::size_t units = 1;
  };
  class Room {
   public:
    Room(const NormMethodLink& link, WantedRoom wanted) : link_(link) { link.room_ = wanted; }
    ~Room() { link_.room_ = {}; }
    Room(const Room&) = delete;
    Room& operator=(const Room&) = delete;

   private:
    const NormMethodLink& link_;
  };

  /// The error with the name in front.
  Status named(const Status& status) const {
    return status.ok() ? status : Status(status.code(), detail::concat("'", name_, "': ", status.message()));
  }

  /// What ask() returns, or throws, as an error of this method.
  template <class Ask>
  Status asked(std::string_view function, Ask ask) const {
    try {
      return named(ask());
    } catch (const Error& error) {
      return named({error.code(), error.what()});
    } catch (const std::exception& error) {
      return named({StatusCode::failed_precondition, detail::concat(function, " failed: ", error.what())});
    } catch (...) {
      return named({StatusCode::failed_precondition,
                    detail::concat(function, " threw something that is not a std::exception")});
    }
  }

  /// Whether it can go back to what it saves, and every name is there once: that is all that tells values
  /// apart in `statistics`.
  Status check_memory() const {
    const std::vector<MethodValues> shared = method_->save();
    GRADSTAB_RETURN_IF_ERROR(method_->load(shared, version_));
    std::vector<std::string> names;
    const auto add_names_of = [&names](const std::vector<MethodValues>& values) {
      std::ranges::transform(values, std::back_inserter(names), &MethodValues::name);
    };
    add_names_of(shared);
    if (map().count() > 0) {
      const std::vector<MethodValues> of_unit = method_->save_unit(0);
      GRADSTAB_RETURN_IF_ERROR(method_->load_unit(0, of_unit, version_));
      add_names_of(of_unit);
    }
    std::ranges::sort(names);
    const auto twice = std::ranges::adjacent_find(names);
    if (twice == names.end()) return {};
    return {StatusCode::invalid_argument,
            detail::concat("save and save_unit have the name '", *twice, "' twice")};
  }

  /// What ask() returns. Throws Error instead of what it throws.
  template <class Ask>
  std::vector<MethodValues> saved(std::string_view function, Ask ask) const {
    std::vector<MethodValues> values;
    asked(function, [&] {
      values = ask();
      return Status();
    }).check();
    return values;
  }

  /// Writes the values; where only room for some is asked for, that many zeros.
  void put(ByteWriter& writer, std::vector<MethodValues> values) const {
    writer.put(static_cast<std::uint32_t>(values.size()));
    for (MethodValues& one : values) {
      if (room_.count != nullptr) one.values.assign((*room_.count)(one.name) / room_.units, 0.0);
      writer.put(std::string_view(one.name));
      writer.put(static_cast<std::uint64_t>(one.values.size()));
      writer.put(interned(one.name), std::span<const double>(one.values));
    }
  }

  Status corrupt(const auto&... what) const {
    return {StatusCode::corrupt_data, detail::concat("state of '", name_, "' ", what...)};
  }

  /// What `put` has written. Of today's version it has the names of what now() returns, if that is to be
  /// looked at.
  template <class Now>
  Result<std::vector<MethodValues>> read(ByteReader& reader, Now now, bool compares = true) const {
    std::vector<MethodValues> values;
    const auto count = reader.get<std::uint32_t>();
    for (std::uint32_t i = 0; i < count && reader.ok(); ++i) {
      MethodValues& one = values.emplace_back();
      one.name = reader.get_string();
      const auto numbers = reader.get<std::uint64_t>();
      if (!reader.ok() || numbers > reader.remaining() / sizeof(double))
        return corrupt("ends inside its values");
      one.values.resize(static_cast<std::size_t>(numbers));
      const auto bytes = reader.get_bytes(one.values.size() * sizeof(double));
      if (!bytes.empty()) std::memcpy(one.values.data(), bytes.data(), bytes.size());
    }
    if (!reader.ok()) return corrupt("ends inside its values");
    if (!compares || loading_ != version_) return values;
    const auto expected = saved("save", now);
    if (!std::ranges::equal(values, expected, {}, &MethodValues::name, &MethodValues::name))
      return corrupt("has other values than it has here: ", names(values), ", expected ", names(expected));
    return values;
  }

  static std::string names(const std::vector<MethodValues>& values) {
    std::string text;
    for (const MethodValues& one : values) text += detail::concat(text.empty() ? "'" : ", '", one.name, "'");
    return text.empty() ? "none" : text;
  }

  static bool takes_part(const TensorReport& report) noexcept {
    return report.present && report.finite && !report.zeroed;
  }

  /// Whether a unit is decided on, and its norm.
  static bool counts(const UnitReports& parts, UnitNorm& norm) noexcept {
    norm = unit_norm(parts);
    if (!norm.present || !detail::is_finite(norm.norm)) return false;
    for (std::size_t i = 0; i < parts.size(); ++i) {
      if (takes_part(parts[i])) return true;
    }
    return false;
  }

  void gather(std::size_t first, std::span<TensorReport> reports, const Measures& measures) noexcept {
    steps_.clear();
    for_each_unit(first, reports, [&](std::size_t unit, const UnitReports& parts) {
      UnitNorm norm;
      if (!counts(parts, norm)) return;
      UnitStep& step = steps_.emplace_back();  // within what is reserved
      step.unit = unit;
      step.norm = norm.norm;
      step.finite = !norm.nonfinite;
      const auto position = [&](std::size_t i) {
        return static_cast<std::size_t>(&parts[i] - reports.data());
      };
      if (needs_.max_abs) {
        for (std::size_t i = 0; i < parts.size(); ++i) {
          if (takes_part(parts[i]))
            step.max_abs =
                std::fmax(step.max_abs, measures.max_abs[position(i)] * std::fabs(parts[i].factor));
        }
      }
      if (needs_.parameter_norms) {
        step.parameter_norm = root_of_squares(parts.size(), [&](std::size_t i) {
          return parts[i].present ? measures.parameter_norm[position(i)] : 0.0;
        });
      }
    });
  }

  Status check_factors() const {
    for (const UnitStep& step : steps_) {
      if (detail::is_finite(step.factor) && step.factor >= 0.0) continue;
      return named(
          {StatusCode::invalid_argument, detail::concat("the factor of unit ", step.unit, " is ", step.factor,
                                                        ", expected a finite number of at least 0")});
    }
    return {};
  }

  void multiply(std::size_t first, std::span<TensorReport> reports) noexcept {
    std::size_t next = 0;
    for_each_unit(first, reports, [&](std::size_t, const UnitReports& parts) {
      UnitNorm norm;
      if (!counts(parts, norm)) return;
      const UnitStep& step = steps_[next++];
      for (std::size_t i = 0; i < parts.size(); ++i) {
        if (!takes_part(parts[i])) continue;
        parts[i].factor *= step.factor;
        parts[i].spike = parts[i].spike || step.spike;
      }
    });
  }

  std::unique_ptr<NormMethod> method_;
  NormMethodNeeds needs_;
  std::string_view name_;
  std::int32_t version_;
  std::vector<NormMethodSetting> settings_;
  std::vector<UnitStep> steps_;
  Status failure_;            // of the last decision
  std::int32_t loading_ = 0;  // the version of the state that is being loaded
  mutable WantedRoom room_;
};

}  // namespace

NormMethod::~NormMethod() = default;

Status NormMethod::load(std::span<const MethodValues> values, std::int32_t) {
  if (values.empty()) return {};
  return {StatusCode::unsupported, "there is a state, but the method has no load"};
}

Status NormMethod::load_unit(std::size_t, std::span<const MethodValues> values, std::int32_t) {
  if (values.empty()) return {};
  return {StatusCode::unsupported, "there is a state of a unit, but the method has no load_unit"};
}

GradientTransform norm_method(std::unique_ptr<NormMethod> method) {
  if (!method) return GradientTransform(Status(StatusCode::invalid_argument, "the method is null"));
  try {
    NormMethodNeeds needs = method->needs();
    return GradientTransform(std::make_unique<NormMethodLink>(std::move(method), std::move(needs)));
  } catch (const Error& error) {
    return GradientTransform(Status(error.code(), error.what()));
  } catch (const std::exception& error) {
    return GradientTransform(Status(StatusCode::failed_precondition,
                                    detail::concat("a method failed to describe itself: ", error.what())));
  }
}

}  // namespace gradstab
