#include <cmath>
#include <limits>
#include <memory>

#include "core/global_norm.hpp"
#include "core/norm_transform.hpp"
#include "core/text.hpp"
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
  NormNeeds needs() const noexcept override { return {.max_abs = options_.max_abs}; }

  Status validate() const override {
    if (options_.max_norm > 0.0 && std::isfinite(options_.max_norm)) return {};
    return {StatusCode::invalid_argument,
            detail::concat("max_norm must be finite and above 0, got ", options_.max_norm)};
  }

  Status bind(const ParameterSet&, const Segments&) override { return {}; }

  void decide(std::size_t, std::span<TensorReport> reports,
              std::span<const double> max_abs) noexcept override {
    const double norm = options_.max_abs ? largest(reports, max_abs) : global_norm(reports);
    const double coefficient = options_.max_norm / (norm + kClipEpsilon);
    // Written so that a NaN norm, which only `pass_through` lets in, makes the factor NaN as PyTorch's does.
    const double factor = coefficient > 1.0 ? 1.0 : coefficient;
    for (TensorReport& report : reports) {
      if (report.present) report.factor *= factor;
    }
  }

  void save_settings(SettingsWriter& settings) const override {
    settings.put("max_norm", options_.max_norm);
    settings.put("max_abs", options_.max_abs ? 1.0 : 0.0);
  }

 private:
  static double largest(std::span<const TensorReport> reports, std::span<const double> max_abs) noexcept {
    double result = 0.0;
    for (std::size_t i = 0; i < reports.size(); ++i) {
      if (!reports[i].present || reports[i].zeroed) continue;
      const double value = max_abs[i] * std::fabs(reports[i].factor);
      if (std::isnan(value)) return value;
      result = std::fmax(result, value);
    }
    return result;
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
