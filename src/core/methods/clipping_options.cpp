// What the settings of clipping.hpp may be, beyond the ranges of their lists.
#include <cmath>

#include "core/base/option_checks.hpp"
#include "gradstab/clipping.hpp"

namespace gradstab {
namespace {

/// The released bias correction begins again with Adam's; otherwise there is nothing to begin again.
template <class Options>
Status check_with_reset(const Options& options) {
  GRADSTAB_RETURN_IF_ERROR(detail::check_ranges(options));
  if (options.reset_interval == 0 || options.compat == Compat::released) return {};
  return {StatusCode::invalid_argument,
          detail::concat("reset_interval is only for compat 'released' and must be 0 here, got ",
                         options.reset_interval)};
}

}  // namespace

Status ClipByValueOptions::validate() const {
  return detail::check_ranges(*this);
}

Status GlobalNormOptions::validate() const {
  return detail::check_ranges(*this);
}

std::vector<std::string> AdaptiveClipOptions::final_head() {
  return {"head.*",       "*.head.*",       "lm_head.*", "*.lm_head.*",
          "classifier.*", "*.classifier.*", "fc.*",      "output.*"};
}

Status AdaptiveClipOptions::validate() const {
  return detail::check_ranges(*this);
}

Status ZClipOptions::validate() const {
  return detail::check_ranges(*this);
}

Status AdaGcOptions::validate() const {
  return detail::check_ranges(*this);
}

Status SpikeAwareClipOptions::validate() const {
  return detail::check_ranges(*this);
}

Status AdaptiveValueClipOptions::validate() const {
  return check_with_reset(*this);
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
  return check_with_reset(*this);
}

Status ScaleByOptions::validate() const {
  return detail::check_ranges(*this);
}

Status RecordNormsOptions::validate() const {
  return detail::check_ranges(*this);
}

}  // namespace gradstab
