#include "lab/reproduce/arms.hpp"

#include <algorithm>
#include <stdexcept>

namespace gradstab::lab {
namespace {

const std::vector<Arm>& known_arms() {
  static const std::vector<Arm> arms = {
      {"none", "no method", {{"transform", "none"}}},
      {"clip_by_value", "value clip 0.1", {{"transform", "clip_by_value(max_abs=0.1)"}}},
      {"clip", "norm clip 1", {{"transform", "clip_by_global_norm(max_norm=1)"}}},
      {"adaptive_clip", "AGC 0.01", {{"transform", "adaptive_clip"}}},
      {"zclip", "ZClip", {{"transform", "zclip"}}},
      {"stabilize", "GradientStabilizer", {{"transform", "stabilize"}}},
      {"robust", "GradientStabilizer, robust moments", {{"transform", "stabilize(robust_kappa=3)"}}},
      {"normalize", "control: unit norm", {{"transform", "normalize"}}, /*control=*/true},
      {"beta2",
       "control: no method, beta2 0.95",
       {{"transform", "none"}, {"beta2", "0.95"}},
       /*control=*/true},
      {"scale",
       "control: no method, gradients times 5",
       {{"transform", "scale_by(factor=5)"}},
       /*control=*/true},
      {"clip_half", "norm clip 0.5", {{"transform", "clip_by_global_norm(max_norm=0.5)"}}},
      {"none-skip_step", "no method, bad steps skipped", {{"transform", "none"}, {"nonfinite", "skip_step"}}},
      {"stabilize-skip_step",
       "GradientStabilizer, bad steps skipped",
       {{"transform", "stabilize"}, {"nonfinite", "skip_step"}}},
      {"adagc", "AdaGC", {{"transform", "adagc(relative=1.05, beta=0.98)"}}},
      {"spam", "SPAM", {{"transform", "none"}, {"optimizer", "spam"}}},
      {"stable_spam", "Stable-SPAM", {{"transform", "none"}, {"optimizer", "stable_spam"}}},
  };
  return arms;
}

}  // namespace

Arm arm_named(std::string_view name) {
  const auto found = std::ranges::find(known_arms(), name, &Arm::name);
  if (found == known_arms().end()) throw std::out_of_range("no arm is called " + std::string(name));
  return *found;
}

std::vector<Arm> arms_named(const std::vector<std::string_view>& names) {
  std::vector<Arm> arms;
  arms.reserve(names.size());
  for (const std::string_view name : names) arms.push_back(arm_named(name));
  return arms;
}

}  // namespace gradstab::lab
