// stabilize and record_norms: the two methods that keep norm moments.
#include <cmath>
#include <memory>
#include <vector>

#include "core/base/floating_point.hpp"
#include "core/base/option_state.hpp"
#include "core/methods/norm_moments_state.hpp"
#include "core/methods/unit_transform.hpp"
#include "gradstab/decide.hpp"
#include "gradstab/transforms.hpp"

namespace gradstab {
namespace {

/// Moments per unit, and the decision taken on them; what becomes of it is the subclass's.
class MomentTransform : public UnitTransform {
 public:
  MomentTransform(StabilizerOptions options, Units units)
      : UnitTransform(std::move(units)), options_(options) {}

  Status validate() const override {
    GRADSTAB_RETURN_IF_ERROR(options_.validate());
    return UnitTransform::validate();
  }

  void decide(std::size_t first, std::span<TensorReport> reports, const Measures&) noexcept override {
    if (map().identity()) {
      for (std::size_t i = 0; i < reports.size(); ++i) decide_segment(reports[i], moments_[first + i]);
      return;
    }
    for_each_unit(first, reports,
                  [this](std::size_t unit, const UnitReports& parts) { decide_unit(parts, moments_[unit]); });
  }

  void save_settings(SettingsWriter& settings) const override {
    put_settings(settings, options_);
    save_units(settings);
  }
  std::vector<StateField> state() const override { return moment_fields(moments_, "m", "v"); }

 protected:
  StabilizerLink link() noexcept { return {&options_, units().granularity, moments_}; }
  virtual void act(TensorReport& report, double factor) noexcept = 0;

  void reset_units(std::size_t count) override {
    moments_.assign(count, {});
    correction_step_ = 0;
  }
  void save_unit(ByteWriter& writer, std::size_t unit) const override {
    save_moments(writer, moments_[unit]);
  }
  Status load_unit(ByteReader& reader, std::ptrdiff_t unit) override {
    const auto moments = load_moments(reader);
    if (!moments) return moments.status();
    if (unit >= 0) moments_[static_cast<std::size_t>(unit)] = *moments;
    return {};
  }

 private:
  void decide_segment(TensorReport& report, NormMoments& moments) noexcept {
    if (!report.present) return;
    const double norm = report.norm();
    // A finite gradient may still have a factor that is not: from a clip under `pass_through`.
    if (!report.finite || !detail::is_finite(norm)) {
      moments.nonfinite += 1;
      return;
    }
    if (norm == 0.0) {
      moments.zeros += 1;
      return;
    }
    const Decision decision = gradstab::decide(options_, correction(moments.step + 1), moments, norm);
    report.spike = report.spike || decision.spike;
    act(report, decision.factor);
  }

  void decide_unit(const UnitReports& reports, NormMoments& moments) noexcept {
    const UnitNorm unit = unit_norm(reports);
    if (!unit.present) return;
    // Under `skip_tensor` the rest of the unit goes on without the tensors that were set aside. Under
    // `pass_through` NaN and Inf stay in the norm; and a finite norm of each part may be too much together.
    if (unit.nonfinite || !detail::is_finite(unit.norm)) moments.nonfinite += 1;
    if (!detail::is_finite(unit.norm)) return;
    if (unit.norm == 0.0) {
      if (!unit.nonfinite) moments.zeros += 1;
      return;
    }
    const Decision decision = gradstab::decide(options_, correction(moments.step + 1), moments, unit.norm);
    for_each_finite(reports, [&](TensorReport& report) {
      report.spike = report.spike || decision.spike;
      act(report, decision.factor);
    });
  }

  /// Units mostly share their step, so the powers in the correction are worth remembering.
  const BiasCorrection& correction(std::int64_t step) noexcept {
    if (step != correction_step_) {
      correction_ = bias_correction_at(options_, step);
      correction_step_ = step;
    }
    return correction_;
  }

  StabilizerOptions options_;
  std::vector<NormMoments> moments_;  // per unit
  BiasCorrection correction_;
  std::int64_t correction_step_ = 0;
};

class Stabilize final : public MomentTransform {
 public:
  using MomentTransform::MomentTransform;
  std::string_view name() const noexcept override { return "stabilize"; }
  StabilizerLink stabilizer() noexcept override { return link(); }
  void act(TensorReport& report, double factor) noexcept override {
    // Two links that raise a denormal gradient as far as they may would together raise it to infinity.
    report.factor = std::fmin(report.factor * factor, detail::kLargestFactor);
  }
};

class RecordNorms final : public MomentTransform {
 public:
  using MomentTransform::MomentTransform;
  std::string_view name() const noexcept override { return "record_norms"; }
  void act(TensorReport&, double) noexcept override {}
};

}  // namespace

GradientTransform stabilize(StabilizerOptions options, Units units) {
  return GradientTransform(std::make_unique<Stabilize>(options, std::move(units)));
}

GradientTransform record_norms(RecordNormsOptions options, Units units) {
  StabilizerOptions watched;
  watched.spike_ratio = options.spike_ratio;
  return GradientTransform(std::make_unique<RecordNorms>(watched, std::move(units)));
}

GradientTransform record_norms(double spike_ratio, Units units) {
  return record_norms(RecordNormsOptions{.spike_ratio = spike_ratio}, std::move(units));
}

}  // namespace gradstab
