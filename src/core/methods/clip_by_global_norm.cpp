#include <cmath>
#include <memory>

#include "core/base/floating_point.hpp"
#include "core/step/global_norm.hpp"
#include "core/step/norm_transform.hpp"
#include "core/step/power_norm.hpp"
#include "gradstab/transforms.hpp"

namespace gradstab {
namespace {

/// In the denominator, as in PyTorch's clip_grad_norm_.
constexpr double kClipEpsilon = 1e-6;

class ClipByGlobalNorm final : public NormTransform {
 public:
  explicit ClipByGlobalNorm(GlobalNormOptions options) : options_(options) {}

  std::string_view name() const noexcept override { return "clip_by_global_norm"; }
  bool needs_all_tensors() const noexcept override { return true; }
  NormNeeds needs() const noexcept override {
    return {.max_abs = by_largest(), .power = by_power() ? options_.p : 0.0};
  }

  Status validate() const override { return options_.validate(); }
  Status bind(const ParameterSet&, const Segments&) override { return {}; }

  void decide(std::size_t, std::span<TensorReport> reports, const Measures& measures) noexcept override {
    const double norm = norm_of(reports, measures);
    const double coefficient = options_.max_norm / (norm + kClipEpsilon);
    // Written so that a NaN norm, which only `pass_through` lets in, makes the factor NaN as PyTorch's does.
    const double factor = coefficient > 1.0 ? 1.0 : coefficient;
    for (TensorReport& report : reports) {
      if (report.present) report.factor *= factor;
    }
  }

  /// Not from the list of the settings: states have always had the largest entry as a setting of its own, and
  /// `p` where it is neither that nor 2.
  void save_settings(SettingsWriter& settings) const override {
    settings.put("max_norm", options_.max_norm);
    settings.put("max_abs", by_largest() ? 1.0 : 0.0);
    if (by_power()) settings.put("p", options_.p);
  }

 private:
  bool by_largest() const noexcept { return detail::is_infinite(options_.p); }
  bool by_power() const noexcept { return !by_largest() && options_.p != 2.0; }

  /// The norm that the options ask for, over all tensors.
  double norm_of(std::span<const TensorReport> reports, const Measures& measures) const noexcept {
    const auto scaled = [&](std::span<const double> norms) {
      return [&reports, norms](std::size_t i) {
        const bool counts = reports[i].present && !reports[i].zeroed;
        return counts ? norms[i] * std::fabs(reports[i].factor) : 0.0;
      };
    };
    if (by_power()) return root_of_powers(reports.size(), options_.p, scaled(measures.power_norm));
    if (!by_largest()) return global_norm(reports);
    double largest = 0.0;
    const auto value_of = scaled(measures.max_abs);
    for (std::size_t i = 0; i < reports.size(); ++i) {
      const double value = value_of(i);
      if (detail::is_nan(value)) return value;
      largest = std::fmax(largest, value);
    }
    return largest;
  }

  GlobalNormOptions options_;
};

}  // namespace

GradientTransform clip_by_global_norm(GlobalNormOptions options) {
  return GradientTransform(std::make_unique<ClipByGlobalNorm>(options));
}

GradientTransform clip_by_global_norm(double max_norm) {
  return clip_by_global_norm(GlobalNormOptions{.max_norm = max_norm});
}

}  // namespace gradstab
