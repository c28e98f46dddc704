// stabilize and record_norms: the two methods that keep norm moments.
#include <cmath>
#include <memory>
#include <vector>

#include "core/global_norm.hpp"
#include "core/norm_moments_state.hpp"
#include "core/norm_transform.hpp"
#include "core/text.hpp"
#include "core/unit_map.hpp"
#include "gradstab/decide.hpp"
#include "gradstab/transforms.hpp"

namespace gradstab {
namespace {

/// Moments per unit, and the decision taken on them; what becomes of it is the subclass's.
class MomentTransform : public NormTransform {
 public:
  MomentTransform(StabilizerOptions options, Units units) : options_(options), units_(std::move(units)) {}

  bool needs_all_tensors() const noexcept override {
    return units_.granularity == Granularity::group || units_.granularity == Granularity::model;
  }
  bool needs_rows() const noexcept override { return units_.granularity == Granularity::row; }

  Status validate() const override {
    GRADSTAB_RETURN_IF_ERROR(options_.validate());
    return units_.validate();
  }

  Status bind(const ParameterSet& parameters, const Segments& segments) override {
    auto map = UnitMap::create(units_, parameters, segments);
    if (!map) return map.status();
    map_ = std::move(*map);
    first_segment_.assign(segments.first().begin(), segments.first().end());
    moments_.assign(map_.count(), {});
    correction_step_ = 0;
    return {};
  }

  void decide(std::size_t first, std::span<TensorReport> reports, std::span<const double>) noexcept override {
    if (map_.identity()) {
      for (std::size_t i = 0; i < reports.size(); ++i) decide_segment(reports[i], moments_[first + i]);
      return;
    }
    const IndexRange units = map_.units_within({first, first + reports.size()});
    for (std::size_t unit = units.begin; unit < units.end; ++unit) {
      decide_unit(map_.segments_of(unit), first, reports, moments_[unit]);
    }
  }

  void save_settings(SettingsWriter& settings) const override {
    settings.put("gamma1", options_.gamma1);
    settings.put("gamma2", options_.gamma2);
    settings.put("epsilon", options_.epsilon);
    settings.put("bias_correction", options_.bias_correction ? 1.0 : 0.0);
    settings.put("robust_kappa", options_.robust_kappa);
    settings.put("granularity", to_string(units_.granularity));
    settings.put("groups", groups_text());
  }

  void save_state(ByteWriter& writer) const override {
    if (units_.granularity == Granularity::group) writer.put(static_cast<std::uint32_t>(map_.count()));
    for (std::size_t unit = 0; unit < map_.count(); ++unit) {
      if (units_.granularity == Granularity::group) {
        writer.put(static_cast<std::uint8_t>(unit < map_.group_count()));
        writer.put(std::string_view(map_.names()[unit]));
      }
      save_moments(writer, moments_[unit]);
    }
  }

  Status load_state(ByteReader& reader, const SavedParameters& saved) override {
    switch (units_.granularity) {
      case Granularity::model:
        return load_unit(reader, 0);
      case Granularity::group:
        return load_groups(reader, saved.same);
      case Granularity::tensor:
      case Granularity::row:
        break;
    }
    const bool rows = units_.granularity == Granularity::row;
    for (std::size_t i = 0; i < saved.position.size(); ++i) {
      const std::ptrdiff_t position = saved.position[i];
      const std::size_t count = rows ? saved.rows[i] : 1;
      for (std::size_t row = 0; row < count; ++row) {
        std::ptrdiff_t unit = position;
        if (rows && position >= 0) {
          unit = static_cast<std::ptrdiff_t>(first_segment_[static_cast<std::size_t>(position)] + row);
        }
        GRADSTAB_RETURN_IF_ERROR(load_unit(reader, unit));
      }
    }
    return {};
  }

 protected:
  virtual void act(TensorReport& report, double factor) noexcept = 0;

 private:
  void decide_segment(TensorReport& report, NormMoments& moments) noexcept {
    if (!report.present) return;
    const double norm = report.norm();
    // A finite gradient may still have a factor that is not: from a clip under `pass_through`.
    if (!report.finite || !std::isfinite(norm)) {
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

  /// `first` is the segment that `reports` begins with.
  void decide_unit(std::span<const std::size_t> segments, std::size_t first, std::span<TensorReport> reports,
                   NormMoments& moments) noexcept {
    bool present = false;
    bool nonfinite = false;
    for (const std::size_t segment : segments) {
      const TensorReport& report = reports[segment - first];
      present = present || report.present;
      nonfinite = nonfinite || (report.present && !report.finite);
    }
    if (!present) return;
    const double norm = root_of_squares(segments.size(), [&](std::size_t i) {
      const TensorReport& report = reports[segments[i] - first];
      return report.present ? report.norm() : 0.0;
    });
    // Under `skip_tensor` the rest of the unit goes on without the tensors that were set aside. Under
    // `pass_through` NaN and Inf stay in the norm; and a finite norm of each part may be too much together.
    if (nonfinite || !std::isfinite(norm)) moments.nonfinite += 1;
    if (!std::isfinite(norm)) return;
    if (norm == 0.0) {
      if (!nonfinite) moments.zeros += 1;
      return;
    }
    const Decision decision = gradstab::decide(options_, correction(moments.step + 1), moments, norm);
    for (const std::size_t segment : segments) {
      TensorReport& report = reports[segment - first];
      if (!report.present || !report.finite) continue;
      report.spike = report.spike || decision.spike;
      act(report, decision.factor);
    }
  }

  /// Units mostly share their step, so the powers in the correction are worth remembering.
  const BiasCorrection& correction(std::int64_t step) noexcept {
    if (step != correction_step_) {
      correction_ = bias_correction_at(options_, step);
      correction_step_ = step;
    }
    return correction_;
  }

  /// "name=pattern,pattern;name=pattern", with a backslash before these separators inside a name or pattern:
  /// different groups never have the same text.
  std::string groups_text() const {
    std::string text;
    const auto add = [&](std::string_view part) {
      for (const char character : part) {
        if (std::string_view("=,;\\").find(character) != std::string_view::npos) text += '\\';
        text += character;
      }
    };
    for (const UnitGroup& group : units_.groups) {
      if (!text.empty()) text += ';';
      add(group.name);
      for (std::size_t i = 0; i < group.patterns.size(); ++i) {
        text += i == 0 ? '=' : ',';
        add(group.patterns[i]);
      }
    }
    return text;
  }

  /// -1 drops what is read.
  Status load_unit(ByteReader& reader, std::ptrdiff_t unit) {
    const auto moments = load_moments(reader);
    if (!moments) return moments.status();
    if (unit >= 0) moments_[static_cast<std::size_t>(unit)] = *moments;
    return {};
  }

  Status load_groups(ByteReader& reader, bool same_parameters) {
    const auto corrupt = [&](const auto&... what) {
      return Status(StatusCode::corrupt_data, detail::concat("state of '", name(), "' has ", what...));
    };
    const auto count = reader.get<std::uint32_t>();
    if (same_parameters && count != map_.count()) {
      return corrupt(count, " units, expected ", map_.count());
    }
    std::vector<bool> seen(map_.count(), false);
    for (std::uint32_t i = 0; i < count; ++i) {
      const bool is_group = reader.get<std::uint8_t>() != 0;
      const std::string unit_name = reader.get_string();
      const std::ptrdiff_t unit = map_.find(is_group, unit_name);  // -1: a tensor that is gone
      GRADSTAB_RETURN_IF_ERROR(load_unit(reader, unit));
      if (unit < 0) {
        if (!same_parameters) continue;
        return corrupt("moments of ", is_group ? "group '" : "tensor '", unit_name,
                       "', which is no unit here");
      }
      if (seen[static_cast<std::size_t>(unit)]) return corrupt("moments of '", unit_name, "' twice");
      seen[static_cast<std::size_t>(unit)] = true;
    }
    return {};
  }

  StabilizerOptions options_;
  Units units_;
  UnitMap map_;
  std::vector<std::size_t> first_segment_;  // per tensor
  std::vector<NormMoments> moments_;        // per unit
  BiasCorrection correction_;
  std::int64_t correction_step_ = 0;
};

class Stabilize final : public MomentTransform {
 public:
  using MomentTransform::MomentTransform;
  std::string_view name() const noexcept override { return "stabilize"; }
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

GradientTransform record_norms(double spike_ratio, Units units) {
  StabilizerOptions options;
  options.spike_ratio = spike_ratio;
  return GradientTransform(std::make_unique<RecordNorms>(options, std::move(units)));
}

}  // namespace gradstab
