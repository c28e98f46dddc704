// What the settings of clipping.hpp may be.
#include <cmath>

#include "core/text.hpp"
#include "gradstab/clipping.hpp"

namespace gradstab {
namespace {

Status out_of_range(const char* name, const char* range, double value) {
  return {StatusCode::invalid_argument, detail::concat(name, " must be ", range, ", got ", value)};
}

Status positive(const char* name, double value) {
  return value > 0.0 && std::isfinite(value) ? Status() : out_of_range(name, "finite and above 0", value);
}

Status not_negative(const char* name, double value) {
  return value >= 0.0 && std::isfinite(value) ? Status() : out_of_range(name, "finite and at least 0", value);
}

Status decay(const char* name, double value) {
  return value >= 0.0 && value < 1.0 ? Status() : out_of_range(name, "in [0, 1)", value);
}

Status steps(const char* name, std::int64_t least, std::int64_t value) {
  if (value >= least) return {};
  return {StatusCode::invalid_argument, detail::concat(name, " must be at least ", least, ", got ", value)};
}

Status choice(const char* name, std::uint8_t last, std::uint8_t value) {
  if (value <= last) return {};
  return {StatusCode::invalid_argument,
          detail::concat(name, " is no known choice, got value ", static_cast<int>(value))};
}

Status compat_choice(Compat compat) {
  return choice("compat", static_cast<std::uint8_t>(Compat::released), static_cast<std::uint8_t>(compat));
}

/// The released bias correction begins again with Adam's; otherwise there is nothing to begin again.
Status reset_goes_with_released(std::int64_t interval, Compat compat) {
  GRADSTAB_RETURN_IF_ERROR(steps("reset_interval", 0, interval));
  GRADSTAB_RETURN_IF_ERROR(compat_choice(compat));
  if (interval == 0 || compat == Compat::released) return {};
  return {StatusCode::invalid_argument,
          detail::concat("reset_interval is for compat 'released' alone and must be 0, got ", interval)};
}

}  // namespace

Status ClipByValueOptions::validate() const {
  return positive("max_abs", max_abs);
}

Status GlobalNormOptions::validate() const {
  GRADSTAB_RETURN_IF_ERROR(positive("max_norm", max_norm));
  if (!(p >= 1.0)) return out_of_range("p", "at least 1, or infinite", p);
  if (max_abs && p != 2.0 && !std::isinf(p)) {
    return {StatusCode::invalid_argument,
            detail::concat("max_abs is the norm of infinite p, but p is given as ", p)};
  }
  return {};
}

std::vector<std::string> AdaptiveClipOptions::final_head() {
  return {"head.*",       "*.head.*",       "lm_head.*", "*.lm_head.*",
          "classifier.*", "*.classifier.*", "fc.*",      "output.*"};
}

Status AdaptiveClipOptions::validate() const {
  GRADSTAB_RETURN_IF_ERROR(positive("clip_factor", clip_factor));
  GRADSTAB_RETURN_IF_ERROR(positive("epsilon", epsilon));
  GRADSTAB_RETURN_IF_ERROR(not_negative("norm_floor", norm_floor));
  for (std::size_t i = 0; i < exclude.size(); ++i) {
    if (exclude[i].empty())
      return {StatusCode::invalid_argument, detail::concat("pattern ", i, " of exclude is empty")};
  }
  return {};
}

Status ZClipOptions::validate() const {
  GRADSTAB_RETURN_IF_ERROR(decay("alpha", alpha));
  GRADSTAB_RETURN_IF_ERROR(positive("z_threshold", z_threshold));
  if (!(max_norm > 0.0)) return out_of_range("max_norm", "above 0, or infinite for none", max_norm);
  GRADSTAB_RETURN_IF_ERROR(not_negative("epsilon", epsilon));
  GRADSTAB_RETURN_IF_ERROR(steps("warmup_steps", 1, warmup_steps));
  GRADSTAB_RETURN_IF_ERROR(
      choice("mode", static_cast<std::uint8_t>(ZClipMode::percentile), static_cast<std::uint8_t>(mode)));
  GRADSTAB_RETURN_IF_ERROR(
      choice("target", static_cast<std::uint8_t>(ZClipTarget::mean), static_cast<std::uint8_t>(target)));
  GRADSTAB_RETURN_IF_ERROR(positive("clip_factor", clip_factor));
  return compat_choice(compat);
}

Status AdaGcOptions::validate() const {
  GRADSTAB_RETURN_IF_ERROR(positive("relative", relative));
  GRADSTAB_RETURN_IF_ERROR(positive("absolute", absolute));
  GRADSTAB_RETURN_IF_ERROR(decay("beta", beta));
  GRADSTAB_RETURN_IF_ERROR(steps("warmup_steps", 0, warmup_steps));
  GRADSTAB_RETURN_IF_ERROR(not_negative("epsilon", epsilon));
  return compat_choice(compat);
}

Status SpikeAwareClipOptions::validate() const {
  GRADSTAB_RETURN_IF_ERROR(positive("threshold", threshold));
  GRADSTAB_RETURN_IF_ERROR(decay("beta2", beta2));
  GRADSTAB_RETURN_IF_ERROR(steps("reset_interval", 0, reset_interval));
  GRADSTAB_RETURN_IF_ERROR(steps("quiet_steps", 0, quiet_steps));
  return compat_choice(compat);
}

Status AdaptiveValueClipOptions::validate() const {
  GRADSTAB_RETURN_IF_ERROR(decay("theta", theta));
  return reset_goes_with_released(reset_interval, compat);
}

double AdaptiveNormOptions::scale_at(std::int64_t step) const noexcept {
  if (total_steps <= 0) return 1.0;
  const auto end = static_cast<double>(total_steps + 1);
  auto at = static_cast<double>(step);
  if (compat == Compat::robust) at = std::fmin(at, end);
  const double pi = 3.14159265358979323846;
  return least_scale + (1.0 - least_scale) * (1.0 + std::cos(pi * at / end)) / 2.0;
}

Status AdaptiveNormOptions::validate() const {
  GRADSTAB_RETURN_IF_ERROR(decay("gamma1", gamma1));
  GRADSTAB_RETURN_IF_ERROR(decay("gamma2", gamma2));
  GRADSTAB_RETURN_IF_ERROR(not_negative("epsilon", epsilon));
  GRADSTAB_RETURN_IF_ERROR(steps("total_steps", 0, total_steps));
  if (!(least_scale >= 0.0 && least_scale <= 1.0))
    return out_of_range("least_scale", "in [0, 1]", least_scale);
  return reset_goes_with_released(reset_interval, compat);
}

}  // namespace gradstab
