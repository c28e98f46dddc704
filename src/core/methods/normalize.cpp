// normalize and scale_by: what a method without statistics does, for comparison.
#include <cmath>

#include "core/base/floating_point.hpp"
#include "core/base/option_state.hpp"
#include "core/methods/unit_transform.hpp"
#include "gradstab/decide.hpp"
#include "gradstab/transforms.hpp"

namespace gradstab {
namespace {

class Normalize final : public UnitTransform {
 public:
  using UnitTransform::UnitTransform;

  std::string_view name() const noexcept override { return "normalize"; }

  void decide(std::size_t first, std::span<TensorReport> reports, const Measures&) noexcept override {
    for_each_unit(first, reports, [](std::size_t, const UnitReports& parts) {
      const UnitNorm unit = unit_norm(parts);
      if (!(unit.norm > 0.0) || !detail::is_finite(unit.norm)) return;
      const double factor = std::fmin(1.0 / unit.norm, detail::kLargestFactor);
      for_each_finite(parts, [&](TensorReport& report) {
        report.factor = std::fmin(report.factor * factor, detail::kLargestFactor);
      });
    });
  }

  void save_settings(SettingsWriter& settings) const override { save_units(settings); }
  void save_state(ByteWriter&, IndexRange) const override {}
  Status load_state(ByteReader&, const SavedParameters&) override { return {}; }

 private:
  void reset_units(std::size_t) override {}
  void save_unit(ByteWriter&, std::size_t) const override {}
  Status load_unit(ByteReader&, std::ptrdiff_t) override { return {}; }
};

class ScaleBy final : public NormTransform {
 public:
  explicit ScaleBy(ScaleByOptions options) : options_(options) {}

  std::string_view name() const noexcept override { return "scale_by"; }
  Status validate() const override { return options_.validate(); }
  Status bind(const ParameterSet&, const Segments&) override { return {}; }

  void decide(std::size_t, std::span<TensorReport> reports, const Measures&) noexcept override {
    for (TensorReport& report : reports) {
      if (report.present) report.factor *= options_.factor;
    }
  }

  void save_settings(SettingsWriter& settings) const override { put_settings(settings, options_); }

 private:
  ScaleByOptions options_;
};

}  // namespace

GradientTransform normalize(NormalizeOptions, Units units) {
  return GradientTransform(std::make_unique<Normalize>(std::move(units)));
}

GradientTransform normalize(Units units) {
  return normalize(NormalizeOptions{}, std::move(units));
}

GradientTransform scale_by(ScaleByOptions options) {
  return GradientTransform(std::make_unique<ScaleBy>(options));
}

GradientTransform scale_by(double factor) {
  return scale_by(ScaleByOptions{.factor = factor});
}

}  // namespace gradstab
