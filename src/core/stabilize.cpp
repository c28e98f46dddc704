// stabilize and record_norms: the two methods that keep norm moments.
#include <memory>
#include <vector>

#include "core/norm_moments_state.hpp"
#include "core/norm_transform.hpp"
#include "gradstab/decide.hpp"
#include "gradstab/transforms.hpp"

namespace gradstab {
namespace {

/// Moments per tensor, and the decision taken on them; what becomes of it is the subclass's.
class MomentTransform : public NormTransform {
 public:
  explicit MomentTransform(StabilizerOptions options) : options_(options) {}

  Status validate() const override { return options_.validate(); }

  void reset(std::size_t tensor_count) override {
    moments_.assign(tensor_count, {});
    correction_step_ = 0;
  }

  void decide(std::size_t first, std::span<TensorReport> reports, std::span<const double>) noexcept override {
    for (std::size_t i = 0; i < reports.size(); ++i) {
      TensorReport& report = reports[i];
      NormMoments& moments = moments_[first + i];
      if (!report.present) continue;
      if (!report.finite) {
        moments.nonfinite += 1;
        continue;
      }
      const double norm = report.norm();
      if (norm == 0.0) {
        moments.zeros += 1;
        continue;
      }
      const Decision decision = gradstab::decide(options_, correction(moments.step + 1), moments, norm);
      report.spike = report.spike || decision.spike;
      act(report, decision);
    }
  }

  void save_settings(SettingsWriter& settings) const override {
    settings.put("gamma1", options_.gamma1);
    settings.put("gamma2", options_.gamma2);
    settings.put("epsilon", options_.epsilon);
    settings.put("bias_correction", options_.bias_correction ? 1.0 : 0.0);
  }
  void save_state(ByteWriter& writer) const override { save_moments(writer, moments_); }
  Status load_state(ByteReader& reader, std::span<const std::ptrdiff_t> position) override {
    return load_moments(reader, position, moments_);
  }

 protected:
  virtual void act(TensorReport& report, const Decision& decision) noexcept = 0;

 private:
  /// Tensors mostly share their step, so the powers in the correction are worth remembering.
  const BiasCorrection& correction(std::int64_t step) noexcept {
    if (step != correction_step_) {
      correction_ = bias_correction_at(options_, step);
      correction_step_ = step;
    }
    return correction_;
  }

  StabilizerOptions options_;
  std::vector<NormMoments> moments_;
  BiasCorrection correction_;
  std::int64_t correction_step_ = 0;
};

class Stabilize final : public MomentTransform {
 public:
  using MomentTransform::MomentTransform;
  std::string_view name() const noexcept override { return "stabilize"; }
  void act(TensorReport& report, const Decision& decision) noexcept override {
    report.factor *= decision.factor;
  }
};

class RecordNorms final : public MomentTransform {
 public:
  using MomentTransform::MomentTransform;
  std::string_view name() const noexcept override { return "record_norms"; }
  void act(TensorReport&, const Decision&) noexcept override {}
};

}  // namespace

GradientTransform stabilize(StabilizerOptions options) {
  return GradientTransform(std::make_unique<Stabilize>(options));
}

GradientTransform record_norms(double spike_ratio) {
  StabilizerOptions options;
  options.spike_ratio = spike_ratio;
  return GradientTransform(std::make_unique<RecordNorms>(options));
}

}  // namespace gradstab
