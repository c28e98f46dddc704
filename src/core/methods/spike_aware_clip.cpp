// spike_aware_clip: SPAM's clipping of single elements by a second moment of its own.
#include <algorithm>
#include <cmath>
#include <vector>

#include "core/base/element_access.hpp"
#include "core/base/floating_point.hpp"
#include "core/base/option_state.hpp"
#include "core/base/text.hpp"
#include "core/base/zeroed_array.hpp"
#include "core/step/element_transform.hpp"
#include "gradstab/transforms.hpp"

namespace gradstab {
namespace {

class SpikeAwareClip final : public ElementTransform {
 public:
  explicit SpikeAwareClip(SpikeAwareClipOptions options) : options_(options) {}

  std::string_view name() const noexcept override { return "spike_aware_clip"; }
  Status validate() const override { return options_.validate(); }

  Status bind(const ParameterSet& parameters, const Segments& segments) override {
    segments_ = segments;
    tensors_.clear();
    for (const Parameter& parameter : parameters) {
      Tensor tensor;
      tensor.count = static_cast<std::size_t>(element_count(parameter.sizes));
      tensor.second = ZeroedArray(tensor.count * sizeof(double));
      tensors_.push_back(std::move(tensor));
    }
    return {};
  }

  Status check(const Parameter& parameter, const TensorRef& tensor) const override {
    const char* what = tensor.sparse_values   ? "is sparse"
                       : is_row_major(tensor) ? nullptr
                                              : "is not contiguous";
    if (what == nullptr) return {};
    return {StatusCode::unsupported,
            detail::concat("gradient of '", parameter.name, "' ", what,
                           ", but 'spike_aware_clip' keeps a second moment of every element in row-major "
                           "order; pass a contiguous copy")};
  }

  void prepare(IndexRange tensors, std::span<const TensorReport> reports, const Measures&) noexcept override {
    for (std::size_t t = tensors.begin; t < tensors.end; ++t) {
      Tensor& tensor = tensors_[t];
      const IndexRange own = segments_.of_tensor(t);
      const auto parts = reports.subspan(own.begin, own.size());
      const bool present = !parts.empty() && parts.front().present && !parts.front().zeroed;
      const bool ordinary = std::ranges::all_of(parts, &TensorReport::finite) &&
                            std::ranges::any_of(parts, [](const auto& part) { return part.norm() > 0.0; });
      tensor.counts = present && (released() || ordinary);
      tensor.clips = false;
      if (!tensor.counts) continue;
      tensor.step += 1;
      const std::int64_t interval = options_.reset_interval;
      const std::int64_t since = interval == 0 ? tensor.step : tensor.step % interval;
      if (interval > 0 && since == 0) std::fill_n(tensor.second.data(), tensor.second.bytes(), std::byte{0});
      tensor.clips = tensor.step >= options_.quiet_steps && since >= options_.quiet_steps;
    }
  }

  void map(const ElementPiece& at) noexcept override {
    const Tensor& tensor = tensors_[at.tensor];
    if (!tensor.counts) return scale_piece(at);
    for_each_element(at, [&](std::byte* element, std::int64_t index) {
      double value = load_element(element, at.view.dtype) * at.factor;
      double& second = tensor.values()[index];
      // Without a history there is nothing to compare with; as released the element is then set to 0.
      const double limit = options_.threshold * second;
      const bool knows = second > 0.0 || released();
      if (tensor.clips && knows && value * value > limit) value = std::copysign(std::sqrt(limit), value);
      store_element(element, at.view.dtype, value);
      const double next = options_.beta2 * second + (1.0 - options_.beta2) * (value * value);
      if (detail::is_finite(next) || released()) second = next;
    });
  }

  void save_settings(SettingsWriter& settings) const override { put_settings(settings, options_); }

  void save_state(ByteWriter& writer, IndexRange tensors) const override {
    for (const Tensor& tensor : std::span(tensors_).subspan(tensors.begin, tensors.size())) {
      writer.put("k", tensor.step);
      writer.put(static_cast<std::uint64_t>(tensor.count));
      writer.put("v", std::span<const double>(tensor.values(), tensor.count));
    }
  }

  Status load_state(ByteReader& reader, const SavedParameters& saved) override {
    for (const std::ptrdiff_t position : saved.position) {
      const auto step = reader.get<std::int64_t>();
      const auto count = reader.get<std::uint64_t>();
      const bool fits = position < 0 || count == tensors_[static_cast<std::size_t>(position)].count;
      if (!reader.ok() || !is_count(step) || !fits || count > reader.remaining() / sizeof(double))
        return {StatusCode::corrupt_data, "state holds impossible second moments of 'spike_aware_clip'"};
      const auto bytes = reader.get_bytes(static_cast<std::size_t>(count) * sizeof(double));
      if (position < 0) continue;
      Tensor& tensor = tensors_[static_cast<std::size_t>(position)];
      tensor.step = step;
      std::ranges::copy(bytes, tensor.second.data());
      const auto possible = [this](double value) {
        return released() || (detail::is_finite(value) && value >= 0.0);
      };
      if (!std::all_of(tensor.values(), tensor.values() + tensor.count, possible))
        return {StatusCode::corrupt_data, "state holds impossible second moments of 'spike_aware_clip'"};
    }
    return {};
  }

 private:
  struct Tensor {
    std::int64_t step = 0;  // steps that counted
    std::size_t count = 0;
    ZeroedArray second;  // double per element, row-major
    // In this step.
    bool counts = false;
    bool clips = false;

    double* values() const noexcept { return reinterpret_cast<double*>(second.data()); }
  };

  bool released() const noexcept { return options_.compat == Compat::released; }

  SpikeAwareClipOptions options_;
  Segments segments_;
  std::vector<Tensor> tensors_;
};

}  // namespace

GradientTransform spike_aware_clip(SpikeAwareClipOptions options) {
  return GradientTransform(std::make_unique<SpikeAwareClip>(options));
}

}  // namespace gradstab
