// adaptive_value_clip: Stable-SPAM's AdaClip.
#include <algorithm>
#include <cmath>
#include <vector>

#include "core/base/element_access.hpp"
#include "core/base/floating_point.hpp"
#include "core/base/option_state.hpp"
#include "core/methods/released_reset.hpp"
#include "core/step/element_transform.hpp"
#include "gradstab/transforms.hpp"

namespace gradstab {
namespace {

class AdaptiveValueClip final : public ElementTransform {
 public:
  explicit AdaptiveValueClip(AdaptiveValueClipOptions options) : options_(options) {}

  std::string_view name() const noexcept override { return "adaptive_value_clip"; }
  NormNeeds needs() const noexcept override { return {.max_abs = true}; }
  Status validate() const override { return options_.validate(); }

  Status bind(const ParameterSet& parameters, const Segments& segments) override {
    segments_ = segments;
    averages_.assign(parameters.size(), {});
    limits_.assign(parameters.size(), {});
    return {};
  }

  void prepare(IndexRange tensors, std::span<const TensorReport> reports,
               const Measures& measures) noexcept override {
    for (std::size_t t = tensors.begin; t < tensors.end; ++t) {
      limits_[t] = {};
      const IndexRange own = segments_.of_tensor(t);
      const auto parts = reports.subspan(own.begin, own.size());
      if (parts.empty() || !parts.front().present) continue;
      Average& average = averages_[t];
      double largest = 0.0;
      for (std::size_t s = own.begin; s < own.end; ++s) {
        const double value = measures.max_abs[s] * std::fabs(reports[s].factor);
        if (detail::is_nan(value) || value > largest) largest = value;
        if (detail::is_nan(largest)) break;
      }
      if (parts.front().zeroed || (!released() && !detail::is_finite(largest))) {
        average.nonfinite += 1;
        continue;
      }
      if (!released() && largest == 0.0) {
        average.zeros += 1;
        continue;
      }
      average.value = options_.theta * average.value + (1.0 - options_.theta) * largest;
      average.step += 1;
      const std::int64_t weight = corrected_step(average.step, options_.reset_interval);
      const double limit = average.value / (1.0 - std::pow(options_.theta, static_cast<double>(weight)));
      if (largest > limit) limits_[t] = {true, limit, limit / largest};
    }
  }

  void map(const ElementPiece& at) noexcept override {
    const Limit& limit = limits_[at.tensor];
    if (!limit.clips) return scale_piece(at);
    for_each_element(at, [&](std::byte* element, std::int64_t) {
      const double value = load_element(element, at.view.dtype) * at.factor;
      store_element(element, at.view.dtype, std::fabs(value) > limit.largest ? value * limit.ratio : value);
    });
  }

  void save_settings(SettingsWriter& settings) const override { put_settings(settings, options_); }

  std::vector<StateField> state() const override {
    StateField largest{"m_max", {}};
    for (const Average& average : averages_) largest.values.push_back(average.value);
    return {largest};
  }

  void save_state(ByteWriter& writer, IndexRange tensors) const override {
    for (const Average& average : std::span(averages_).subspan(tensors.begin, tensors.size())) {
      writer.put("m_max", average.value);
      writer.put("k", average.step);
      writer.put("nonfinite", average.nonfinite);
      writer.put("zeros", average.zeros);
    }
  }

  Status load_state(ByteReader& reader, const SavedParameters& saved) override {
    for (const std::ptrdiff_t position : saved.position) {
      Average loaded;
      loaded.value = reader.get<double>();
      loaded.step = reader.get<std::int64_t>();
      loaded.nonfinite = reader.get<std::int64_t>();
      loaded.zeros = reader.get<std::int64_t>();
      if (!reader.ok())
        return {StatusCode::corrupt_data, "state ends inside the averages of 'adaptive_value_clip'"};
      const bool possible = released() || (detail::is_finite(loaded.value) && loaded.value >= 0.0);
      if (!possible || !is_count(loaded.step) || !is_count(loaded.nonfinite) || !is_count(loaded.zeros))
        return {StatusCode::corrupt_data, "state holds an impossible average of 'adaptive_value_clip'"};
      if (position >= 0) averages_[static_cast<std::size_t>(position)] = loaded;
    }
    return {};
  }

 private:
  struct Average {
    double value = 0.0;  // of the largest absolute value, not bias-corrected
    std::int64_t step = 0;
    std::int64_t nonfinite = 0;
    std::int64_t zeros = 0;
  };
  /// In this step.
  struct Limit {
    bool clips = false;
    double largest = 0.0;
    double ratio = 1.0;  // of what is above it
  };

  bool released() const noexcept { return options_.compat == Compat::released; }

  AdaptiveValueClipOptions options_;
  Segments segments_;
  std::vector<Average> averages_;  // per tensor
  std::vector<Limit> limits_;
};

}  // namespace

GradientTransform adaptive_value_clip(AdaptiveValueClipOptions options) {
  return GradientTransform(std::make_unique<AdaptiveValueClip>(options));
}

}  // namespace gradstab
