// adaptive_norm: Stable-SPAM's AdaGN.
#include <cmath>
#include <vector>

#include "core/base/floating_point.hpp"
#include "core/base/option_state.hpp"
#include "core/methods/norm_moments_state.hpp"
#include "core/methods/released_reset.hpp"
#include "core/methods/unit_transform.hpp"
#include "gradstab/decide.hpp"
#include "gradstab/transforms.hpp"

namespace gradstab {
namespace {

class AdaptiveNorm final : public UnitTransform {
 public:
  AdaptiveNorm(AdaptiveNormOptions options, Units units)
      : UnitTransform(std::move(units)), options_(options) {}

  std::string_view name() const noexcept override { return "adaptive_norm"; }

  Status validate() const override {
    GRADSTAB_RETURN_IF_ERROR(options_.validate());
    return UnitTransform::validate();
  }

  void decide(std::size_t first, std::span<TensorReport> reports, const Measures&) noexcept override {
    for_each_unit(first, reports, [this](std::size_t unit, const UnitReports& parts) {
      const UnitNorm now = unit_norm(parts);
      if (!now.present) return;
      released() ? decide_released(moments_[unit], now, parts) : decide_robust(moments_[unit], now, parts);
    });
  }

  void save_settings(SettingsWriter& settings) const override {
    put_settings(settings, options_);
    save_units(settings);
  }

  std::vector<StateField> state() const override { return moment_fields(moments_, "m_norm", "v_norm"); }

 protected:
  void reset_units(std::size_t count) override { moments_.assign(count, {}); }

  void save_unit(ByteWriter& writer, std::size_t unit) const override {
    save_moments(writer, moments_[unit]);
  }

  Status load_unit(ByteReader& reader, std::ptrdiff_t unit) override {
    const auto moments = released() ? load_any_moments(reader) : load_moments(reader);
    if (!moments) return moments.status();
    if (unit >= 0) moments_[static_cast<std::size_t>(unit)] = *moments;
    return {};
  }

 private:
  bool released() const noexcept { return options_.compat == Compat::released; }

  /// The rule of `stabilize` with the decays of this step, by the same arithmetic.
  void decide_robust(NormMoments& moments, const UnitNorm& now, const UnitReports& parts) const noexcept {
    if (now.nonfinite || !detail::is_finite(now.norm)) moments.nonfinite += 1;
    if (!detail::is_finite(now.norm)) return;
    if (now.norm == 0.0) {
      if (!now.nonfinite) moments.zeros += 1;
      return;
    }
    StabilizerOptions rule;
    rule.gamma1 = options_.gamma1 * options_.scale_at(moments.step + 1);
    rule.gamma2 = options_.gamma2;
    const BiasCorrection correction = bias_correction_at(rule, moments.step + 1);
    const Decision decision = gradstab::decide(rule, correction, moments, now.norm);
    const double root = std::ldexp(std::sqrt(moments.second / correction.second), moments.exponent);
    const double factor = decision.factor * (root / (root + options_.epsilon));
    for_each_finite(parts, [&](TensorReport& report) {
      report.spike = report.spike || decision.spike;
      report.factor = std::fmin(report.factor * factor, detail::kLargestFactor);
    });
  }

  /// As released: whatever comes enters plain doubles.
  void decide_released(NormMoments& moments, const UnitNorm& now, const UnitReports& parts) const noexcept {
    const double gamma1 = options_.gamma1 * options_.scale_at(moments.step + 1);
    moments.step += 1;
    moments.first = gamma1 * moments.first + (1.0 - gamma1) * now.norm;
    moments.second = options_.gamma2 * moments.second + (1.0 - options_.gamma2) * (now.norm * now.norm);
    const auto k = static_cast<double>(corrected_step(moments.step, options_.reset_interval));
    const double mean = moments.first / (1.0 - std::pow(gamma1, k));
    const double root = std::sqrt(moments.second / (1.0 - std::pow(options_.gamma2, k)));
    if (now.norm == 0.0) return;
    const double factor = mean / (root + options_.epsilon) / now.norm;
    for (std::size_t i = 0; i < parts.size(); ++i) {
      if (parts[i].present) parts[i].factor *= factor;
    }
  }

  AdaptiveNormOptions options_;
  std::vector<NormMoments> moments_;  // per unit; as released `step` counts every step
};

}  // namespace

GradientTransform adaptive_norm(AdaptiveNormOptions options, Units units) {
  return GradientTransform(std::make_unique<AdaptiveNorm>(options, std::move(units)));
}

}  // namespace gradstab
