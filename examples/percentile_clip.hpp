// A method of your own: AutoClip (Seetharaman et al. 2020, arXiv 2007.14469). It clips the gradients of a
// model to a percentile of the norms that they have had so far, this one included.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <gradstab/gradstab.hpp>
#include <memory>
#include <span>
#include <string>
#include <vector>

class PercentileClip final : public gradstab::NormMethod {
 public:
  explicit PercentileClip(double percentile = 10.0) : percentile_(percentile) {}

  std::string name() const override { return "percentile_clip"; }
  gradstab::NormMethodNeeds needs() const override { return {.units = gradstab::Units::whole_model()}; }
  std::vector<gradstab::NormMethodSetting> settings() const override { return {{"percentile", percentile_}}; }

  void reset(std::size_t) override { norms_.clear(); }

  gradstab::Status decide(std::span<gradstab::UnitStep> units) override {
    gradstab::UnitStep& model = units.front();
    norms_.insert(std::ranges::upper_bound(norms_, model.norm), model.norm);
    model.factor = std::min(1.0, limit() / (model.norm + 1e-6));
    return {};
  }

  std::vector<gradstab::MethodValues> save() const override { return {{"norms", norms_}}; }
  gradstab::Status load(std::span<const gradstab::MethodValues> values, std::int32_t) override {
    norms_ = values.front().values;
    return {};
  }

 private:
  /// Interpolates linearly between two of the norms.
  double limit() const {
    const double position = percentile_ / 100.0 * static_cast<double>(norms_.size() - 1);
    const auto below = static_cast<std::size_t>(position);
    const std::size_t above = std::min(below + 1, norms_.size() - 1);
    return std::lerp(norms_[below], norms_[above], position - static_cast<double>(below));
  }

  double percentile_;
  std::vector<double> norms_;  // in growing order
};

/// It can do what the library's own methods can: alone, in a chain, or in front of an optimizer.
inline gradstab::GradientTransform percentile_clip(double percentile = 10.0) {
  return gradstab::norm_method(std::make_unique<PercentileClip>(percentile));
}
