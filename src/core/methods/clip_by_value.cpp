#include "core/base/option_state.hpp"
#include "core/step/element_transform.hpp"
#include "gradstab/transforms.hpp"

namespace gradstab {
namespace {

class ClipByValue final : public ElementTransform {
 public:
  explicit ClipByValue(ClipByValueOptions options) : options_(options) {}

  std::string_view name() const noexcept override { return "clip_by_value"; }
  Status validate() const override { return options_.validate(); }
  Status bind(const ParameterSet&, const Segments&) override { return {}; }

  void map(const ElementPiece& at) noexcept override {
    clamp(at.backend, at.view, at.piece, at.factor, options_.max_abs);
  }

  void save_settings(SettingsWriter& settings) const override { put_settings(settings, options_); }

 private:
  ClipByValueOptions options_;
};

}  // namespace

GradientTransform clip_by_value(ClipByValueOptions options) {
  return GradientTransform(std::make_unique<ClipByValue>(options));
}

GradientTransform clip_by_value(double max_abs) {
  return clip_by_value(ClipByValueOptions{.max_abs = max_abs});
}

}  // namespace gradstab
