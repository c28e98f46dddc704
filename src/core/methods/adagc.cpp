#include <algorithm>
#include <cmath>
#include <optional>
#include <vector>

#include "core/base/floating_point.hpp"
#include "core/base/option_state.hpp"
#include "core/methods/unit_transform.hpp"
#include "gradstab/transforms.hpp"

namespace gradstab {
namespace {

/// NaN if either is.
double smaller(double a, double b) noexcept {
  return detail::is_nan(a) || a < b ? a : b;
}

class AdaGc final : public UnitTransform {
 public:
  explicit AdaGc(AdaGcOptions options)
      : UnitTransform(options.whole_model ? Units::whole_model() : Units::per_tensor()), options_(options) {}

  std::string_view name() const noexcept override { return "adagc"; }
  bool needs_all_tensors() const noexcept override {
    return UnitTransform::needs_all_tensors() || counts_globally();
  }
  Status validate() const override { return options_.validate(); }

  void decide(std::size_t first, std::span<TensorReport> reports, const Measures&) noexcept override {
    std::optional<double> of_all;  // in a warm-up of all tensors: the coefficient of clipping them together
    if (counts_globally()) {
      const double norm = root_of_squares(
          reports.size(), [&](std::size_t i) { return takes_part(reports[i]) ? reports[i].norm() : 0.0; });
      const bool counts = released() ? std::ranges::any_of(reports, &TensorReport::present) : norm > 0.0;
      if (!counts || (!released() && !detail::is_finite(norm))) return count_left_out(first, reports);
      step_ += 1;
      if (step_ <= options_.warmup_steps) of_all = options_.absolute / (norm + options_.epsilon);
    }
    for_each_unit(first, reports, [&](std::size_t unit, const UnitReports& parts) {
      decide_unit(units_[unit], parts, of_all);
    });
  }

  void save_settings(SettingsWriter& settings) const override { put_settings(settings, options_); }

  std::vector<StateField> state() const override {
    StateField averages{"gamma", {}};
    for (const Unit& unit : units_) averages.values.push_back(unit.average);
    return {averages};
  }

  void save_state(ByteWriter& writer, IndexRange tensors) const override {
    writer.put("step", step_);
    UnitTransform::save_state(writer, tensors);
  }

  Status load_state(ByteReader& reader, const SavedParameters& saved) override {
    step_ = reader.get<std::int64_t>();
    if (!is_count(step_)) return {StatusCode::corrupt_data, "state of 'adagc' has an impossible step"};
    return UnitTransform::load_state(reader, saved);
  }

 protected:
  void reset_units(std::size_t count) override {
    units_.assign(count, {});
    step_ = 0;
  }

  void save_unit(ByteWriter& writer, std::size_t unit) const override {
    writer.put("gamma", units_[unit].average);
    writer.put("k", units_[unit].norms);
    writer.put("nonfinite", units_[unit].nonfinite);
    writer.put("zeros", units_[unit].zeros);
  }

  Status load_unit(ByteReader& reader, std::ptrdiff_t unit) override {
    Unit loaded;
    loaded.average = reader.get<double>();
    loaded.norms = reader.get<std::int64_t>();
    loaded.nonfinite = reader.get<std::int64_t>();
    loaded.zeros = reader.get<std::int64_t>();
    if (!reader.ok()) return {StatusCode::corrupt_data, "state ends inside the averages of 'adagc'"};
    const bool possible = released() || (detail::is_finite(loaded.average) && loaded.average >= 0.0 &&
                                         (loaded.average > 0.0) == (loaded.norms > 0));
    if (!possible || !is_count(loaded.norms) || !is_count(loaded.nonfinite) || !is_count(loaded.zeros))
      return {StatusCode::corrupt_data, "state holds an impossible average of 'adagc'"};
    if (unit >= 0) units_[static_cast<std::size_t>(unit)] = loaded;
    return {};
  }

 private:
  struct Unit {
    double average = 0.0;    // gamma
    std::int64_t norms = 0;  // that entered it
    std::int64_t nonfinite = 0;
    std::int64_t zeros = 0;
  };

  bool released() const noexcept { return options_.compat == Compat::released; }
  bool counts_globally() const noexcept { return options_.global_warmup && options_.warmup_steps > 0; }
  bool takes_part(const TensorReport& report) const noexcept {
    return report.present && !report.zeroed && (report.finite || released());
  }

  void multiply(const UnitReports& parts, double factor) const noexcept {
    for (std::size_t i = 0; i < parts.size(); ++i) {
      if (takes_part(parts[i])) parts[i].factor *= factor;
    }
  }

  /// False if the unit's norm does not count in this step.
  bool counts(Unit& unit, const UnitNorm& now) const noexcept {
    if (!now.present) return false;
    if (released()) return true;
    if (now.nonfinite || !detail::is_finite(now.norm)) {
      unit.nonfinite += 1;
      return false;
    }
    if (now.norm > 0.0) return true;
    unit.zeros += 1;
    return false;
  }

  /// The step as a whole does not count.
  void count_left_out(std::size_t first, std::span<TensorReport> reports) noexcept {
    for_each_unit(first, reports, [this](std::size_t unit, const UnitReports& parts) {
      counts(units_[unit], unit_norm(parts));
    });
  }

  void decide_unit(Unit& unit, const UnitReports& parts, std::optional<double> of_all) noexcept {
    const UnitNorm now = unit_norm(parts);
    if (!counts(unit, now)) {
      // What is finite in it is clipped with the others nevertheless.
      if (of_all && *of_all < 1.0) multiply(parts, *of_all);
      return;
    }
    const bool warms_up_alone = !counts_globally() && unit.norms < options_.warmup_steps;
    double norm = now.norm;
    if (of_all || warms_up_alone || unit.norms == 0) {
      const double coefficient = of_all ? *of_all : options_.absolute / (norm + options_.epsilon);
      if (coefficient < 1.0) {
        multiply(parts, coefficient);
        norm *= coefficient;
      }
      // So small that it vanished in the scaling: not to be the least norm for ever.
      if (norm == 0.0 && !released()) return;
      unit.average = unit.norms == 0 ? norm : smaller(unit.average, norm);
    } else {
      const double limit = options_.relative * unit.average;
      if (norm > limit) {
        multiply(parts, limit / (norm + options_.epsilon));
        norm = limit;
      }
      // Denormal averages may vanish in the product; an average of 0 would never rise again.
      const double next = options_.beta * unit.average + (1.0 - options_.beta) * norm;
      if (next > 0.0 || released()) unit.average = next;
    }
    unit.norms += 1;
  }

  AdaGcOptions options_;
  std::vector<Unit> units_;
  std::int64_t step_ = 0;  // steps of a warm-up of all tensors and after it
};

}  // namespace

GradientTransform adagc(AdaGcOptions options) {
  return GradientTransform(std::make_unique<AdaGc>(options));
}

}  // namespace gradstab
