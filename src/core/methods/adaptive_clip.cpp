// adaptive_clip: AGC.
#include <algorithm>
#include <cmath>
#include <vector>

#include "core/base/floating_point.hpp"
#include "core/base/option_state.hpp"
#include "core/base/text.hpp"
#include "core/step/norm_transform.hpp"
#include "core/step/unit_map.hpp"
#include "gradstab/transforms.hpp"

namespace gradstab {
namespace {

class AdaptiveClip final : public NormTransform {
 public:
  explicit AdaptiveClip(AdaptiveClipOptions options) : options_(std::move(options)) {}

  std::string_view name() const noexcept override { return "adaptive_clip"; }
  bool needs_rows() const noexcept override { return true; }
  NormNeeds needs() const noexcept override { return {.parameter_norms = true}; }
  Status validate() const override { return options_.validate(); }

  Status bind(const ParameterSet& parameters, const Segments& segments) override {
    excluded_.clear();
    for (std::size_t t = 0; t < parameters.size(); ++t) {
      const Parameter& parameter = parameters[t];
      const bool excluded = std::ranges::any_of(
          options_.exclude, [&](const std::string& pattern) { return matches(pattern, parameter.name); });
      const std::size_t pieces = segments.of_tensor(t).size();
      if (!excluded && pieces != row_count(parameter.sizes)) {
        return {StatusCode::unsupported,
                detail::concat("'adaptive_clip' works per row, but '", parameter.name, "' has ",
                               row_count(parameter.sizes), " rows and is divided into ", pieces,
                               " pieces by the optimizer")};
      }
      excluded_.insert(excluded_.end(), pieces, static_cast<char>(excluded));
    }
    return {};
  }

  void decide(std::size_t first, std::span<TensorReport> reports,
              const Measures& measures) noexcept override {
    for (std::size_t i = 0; i < reports.size(); ++i) {
      TensorReport& report = reports[i];
      if (!report.present || report.zeroed || excluded_[first + i] != 0) continue;
      // A parameter that is not finite sets no limit.
      if (detail::is_finite(measures.parameter_norm[i])) limit(report, measures.parameter_norm[i]);
    }
  }

  void save_settings(SettingsWriter& settings) const override { put_settings(settings, options_); }

 private:
  void limit(TensorReport& report, double parameter_norm) const noexcept {
    const double norm = report.norm();
    const double most = options_.clip_factor * std::fmax(parameter_norm, options_.epsilon);
    // A NaN norm, which only `pass_through` lets in, makes the factor NaN as in the released code.
    if (norm < most || norm == 0.0) return;
    report.factor *= most / (norm < options_.norm_floor ? options_.norm_floor : norm);
  }

  AdaptiveClipOptions options_;
  std::vector<char> excluded_;  // per segment
};

}  // namespace

GradientTransform adaptive_clip(AdaptiveClipOptions options) {
  return GradientTransform(std::make_unique<AdaptiveClip>(std::move(options)));
}

}  // namespace gradstab
