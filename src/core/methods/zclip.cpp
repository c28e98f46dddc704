#include <cmath>

#include "core/base/floating_point.hpp"
#include "core/base/option_state.hpp"
#include "core/step/global_norm.hpp"
#include "core/step/norm_transform.hpp"
#include "gradstab/transforms.hpp"

namespace gradstab {
namespace {

/// Added to a norm that is divided by, as in the released code and in clipping by global norm.
constexpr double kClipEpsilon = 1e-6;

class ZClip final : public NormTransform {
 public:
  explicit ZClip(ZClipOptions options) : options_(options) {}

  std::string_view name() const noexcept override { return "zclip"; }
  bool needs_all_tensors() const noexcept override { return true; }
  Status validate() const override { return options_.validate(); }

  Status bind(const ParameterSet&, const Segments&) override {
    statistics_ = {};
    return {};
  }

  void decide(std::size_t, std::span<TensorReport> reports, const Measures&) noexcept override {
    bool present = false;
    bool nonfinite = false;
    for (const TensorReport& report : reports) {
      present = present || report.present;
      nonfinite = nonfinite || (report.present && !report.finite);
    }
    if (!present) return;
    const double norm = root_of_squares(reports.size(), [&](std::size_t i) {
      const bool counts = reports[i].present && (reports[i].finite || released());
      return counts ? reports[i].norm() : 0.0;
    });
    if (!released() && (nonfinite || !detail::is_finite(norm))) statistics_.nonfinite += 1;
    if (!released() && !detail::is_finite(norm)) return;
    if (!released() && norm == 0.0) {
      if (!nonfinite) statistics_.zeros += 1;
      return;
    }
    const bool enters = released() || !nonfinite;
    if (statistics_.collected < options_.warmup_steps) {
      if (enters) collect(norm);
      const double coefficient = options_.max_norm / (norm + kClipEpsilon);
      multiply(reports, coefficient > 1.0 ? 1.0 : coefficient);
      return;
    }
    const Threshold threshold = threshold_for(norm);
    double limit = threshold.spike ? threshold.norm : norm;
    if (options_.max_norm < limit) limit = options_.max_norm;
    if (norm > limit) multiply(reports, limit / (norm + kClipEpsilon));
    for (TensorReport& report : reports) report.spike = report.spike || (threshold.spike && report.present);
    if (!enters || (threshold.spike && options_.skip_update_on_spike)) return;
    advance(threshold.spike ? threshold.norm : norm);
  }

  void save_settings(SettingsWriter& settings) const override { put_settings(settings, options_); }

  std::vector<StateField> state() const override {
    if (statistics_.collected < options_.warmup_steps) return {{"mean", {}}, {"var", {}}};
    return {{"mean", {statistics_.mean}}, {"var", {statistics_.variance}}};
  }

  void save_state(ByteWriter& writer, IndexRange) const override {
    writer.put("collected", statistics_.collected);
    writer.put("mean", statistics_.mean);
    writer.put("var", statistics_.variance);
    writer.put("nonfinite", statistics_.nonfinite);
    writer.put("zeros", statistics_.zeros);
  }

  Status load_state(ByteReader& reader, const SavedParameters&) override {
    Statistics loaded;
    loaded.collected = reader.get<std::int64_t>();
    loaded.mean = reader.get<double>();
    loaded.variance = reader.get<double>();
    loaded.nonfinite = reader.get<std::int64_t>();
    loaded.zeros = reader.get<std::int64_t>();
    if (!reader.ok()) return {StatusCode::corrupt_data, "state ends inside the statistics of 'zclip'"};
    const auto possible = [this](double value) {
      return released() || (detail::is_finite(value) && value >= 0.0);
    };
    const bool begun = loaded.collected > 0 || (loaded.mean == 0.0 && loaded.variance == 0.0);
    if (loaded.collected < 0 || loaded.collected > options_.warmup_steps || !begun ||
        !possible(loaded.mean) || !possible(loaded.variance) || !is_count(loaded.nonfinite) ||
        !is_count(loaded.zeros)) {
      return {StatusCode::corrupt_data, "state holds impossible statistics of 'zclip'"};
    }
    statistics_ = loaded;
    return {};
  }

 private:
  struct Statistics {
    std::int64_t collected = 0;  // norms of the warm-up
    double mean = 0.0;
    double variance = 0.0;  // during the warm-up the sum of squared distances from the mean
    std::int64_t nonfinite = 0;
    std::int64_t zeros = 0;
  };

  bool released() const noexcept { return options_.compat == Compat::released; }

  static void multiply(std::span<TensorReport> reports, double factor) noexcept {
    for (TensorReport& report : reports) {
      if (report.present) report.factor *= factor;
    }
  }

  struct Threshold {
    bool spike = false;
    double norm = 0.0;
  };
  Threshold threshold_for(double norm) const noexcept {
    const double deviation = std::sqrt(statistics_.variance);
    const double mean = statistics_.mean;
    if (options_.mode == ZClipMode::percentile) {
      const double limit = mean + options_.z_threshold * deviation;
      return {norm > limit, limit};
    }
    const double z = (norm - mean) / (deviation + options_.epsilon);
    if (!(z > options_.z_threshold)) return {};
    if (options_.target == ZClipTarget::mean) return {true, mean};
    const double star = options_.z_threshold;
    return {true, (mean + star * star * deviation / z) * options_.clip_factor};
  }

  /// One norm of the warm-up, by Welford's recurrence: no buffer, and no cancellation.
  void collect(double norm) noexcept {
    Statistics next = statistics_;
    next.collected += 1;
    const double distance = norm - next.mean;
    next.mean += distance / static_cast<double>(next.collected);
    next.variance += distance * (norm - next.mean);
    if (next.collected == options_.warmup_steps) next.variance /= static_cast<double>(next.collected);
    keep(next);
  }

  void advance(double norm) noexcept {
    Statistics next = statistics_;
    next.mean = options_.alpha * next.mean + (1.0 - options_.alpha) * norm;
    const double distance = norm - next.mean;
    next.variance = options_.alpha * next.variance + (1.0 - options_.alpha) * (distance * distance);
    keep(next);
  }

  /// Norms whose squares leave the range of a double are as good as infinite here.
  void keep(const Statistics& next) noexcept {
    if (released() || (detail::is_finite(next.mean) && detail::is_finite(next.variance))) {
      statistics_ = next;
    } else {
      statistics_.nonfinite += 1;
    }
  }

  ZClipOptions options_;
  Statistics statistics_;
};

}  // namespace

GradientTransform zclip(ZClipOptions options) {
  return GradientTransform(std::make_unique<ZClip>(options));
}

}  // namespace gradstab
