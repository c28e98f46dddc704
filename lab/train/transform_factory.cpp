#include "lab/train/transform_factory.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <sstream>
#include <string_view>
#include <vector>

#include "gradstab/transforms.hpp"

namespace gradstab::lab {
namespace {

GradientTransform make_stabilize(const TrainOptions& options) {
  StabilizerOptions settings = options.form == "paper" ? StabilizerOptions::paper() : StabilizerOptions();
  settings.gamma1 = options.gamma1;
  settings.gamma2 = options.gamma2;
  settings.robust_kappa = options.kappa;
  const Units units = options.granularity == "row"     ? Units::per_row()
                      : options.granularity == "model" ? Units::whole_model()
                                                       : Units::per_tensor();
  return stabilize(settings, units);
}

struct Method {
  std::string_view name;
  GradientTransform (*make)(const TrainOptions& options);
};

// Settings without an option of their own are those of the paper that fixed them.
constexpr std::array kMethods = {
    Method{"stabilize", make_stabilize},
    Method{"clip", [](const TrainOptions& options) { return clip_by_global_norm(options.max_norm); }},
    Method{"clip_by_value", [](const TrainOptions& options) { return clip_by_value(options.max_abs); }},
    Method{"adaptive_clip", [](const TrainOptions&) { return adaptive_clip(AdaptiveClipOptions::nfnet()); }},
    Method{"zclip", [](const TrainOptions&) { return zclip(ZClipOptions::zclip()); }},
    Method{"adagc", [](const TrainOptions&) { return adagc(AdaGcOptions::adagc_v1()); }},
    Method{"spike_aware_clip",
           [](const TrainOptions&) { return spike_aware_clip(SpikeAwareClipOptions::spam()); }},
    Method{"adaptive_value_clip",
           [](const TrainOptions&) { return adaptive_value_clip(AdaptiveValueClipOptions::stable_spam()); }},
    Method{"adaptive_norm",
           [](const TrainOptions&) { return adaptive_norm(AdaptiveNormOptions::stable_spam()); }},
    Method{"normalize", [](const TrainOptions&) { return normalize(); }},
    Method{"scale", [](const TrainOptions& options) { return scale_by(options.scale); }},
};

std::vector<std::string> parts_of(const std::string& transform) {
  std::vector<std::string> parts;
  std::istringstream list(transform);
  for (std::string part; std::getline(list, part, '+');) parts.push_back(part);
  if (transform.empty() || transform.ends_with('+')) parts.emplace_back();
  return parts;
}

const Method* find_method(const std::string& name) {
  const auto* const found = std::ranges::find(kMethods, name, &Method::name);
  return found == kMethods.end() ? nullptr : found;
}

}  // namespace

std::string known_transforms() {
  std::string text;
  for (const Method& method : kMethods) text += (text.empty() ? "" : ", ") + std::string(method.name);
  return text;
}

Status check_transform(const std::string& transform) {
  if (transform == "none") return {};
  for (const std::string& part : parts_of(transform)) {
    if (find_method(part) != nullptr) continue;
    return {
        StatusCode::invalid_argument,
        fmt::format("transform must be none or a chain, joined by '+', of {}; got '{}'{}", known_transforms(),
                    part, part == transform ? "" : fmt::format(" in '{}'", transform))};
  }
  return {};
}

GradientTransform make_transform(const TrainOptions& options) {
  std::vector<GradientTransform> links;
  links.push_back(record_norms());
  if (options.transform != "none") {
    for (const std::string& part : parts_of(options.transform))
      links.push_back(find_method(part)->make(options));
  }
  if (options.optimizer == "stable_spam") {  // the optimizer of that name is AdamW behind these two
    links.push_back(adaptive_value_clip(AdaptiveValueClipOptions::stable_spam()));
    links.push_back(adaptive_norm(AdaptiveNormOptions::stable_spam()));
  }
  return chain_of(std::move(links));
}

NonFinitePolicy nonfinite_policy(const TrainOptions& options) {
  if (options.nonfinite == "skip_tensor") return NonFinitePolicy::skip_tensor;
  if (options.nonfinite == "skip_step") return NonFinitePolicy::skip_step;
  if (options.nonfinite == "raise") return NonFinitePolicy::raise;
  if (options.nonfinite == "pass_through") return NonFinitePolicy::pass_through;
  // A baseline should behave as its users know it; the method should show what it does by default.
  const bool stabilizes = std::ranges::count(parts_of(options.transform), "stabilize") > 0;
  return stabilizes ? NonFinitePolicy::skip_tensor : NonFinitePolicy::pass_through;
}

}  // namespace gradstab::lab
