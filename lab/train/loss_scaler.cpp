#include "lab/train/loss_scaler.hpp"

#include <cmath>
#include <limits>

namespace gradstab::lab {

void LossScaler::update(bool found_inf) noexcept {
  if (found_inf) {
    const float reduced = scale_ * options_.backoff_factor;
    if (std::isnormal(reduced)) scale_ = reduced;
    growth_count_ = 0;
    skipped_steps_ += 1;
    return;
  }
  growth_count_ += 1;
  if (growth_count_ < options_.growth_interval) return;
  growth_count_ = 0;
  const float grown = scale_ * options_.growth_factor;
  if (std::isfinite(grown)) scale_ = grown;
}

Json LossScaler::state() const {
  return {{"scale", scale_}, {"growth_count", growth_count_}, {"skipped_steps", skipped_steps_}};
}

Status LossScaler::restore(const JsonReader& state) {
  const double scale = state["scale"].number();
  const std::int64_t growth_count = state["growth_count"].whole(0, options_.growth_interval - 1);
  const std::int64_t skipped_steps = state["skipped_steps"].whole(0);
  if (!(scale >= std::numeric_limits<float>::min() && scale <= std::numeric_limits<float>::max()))
    state["scale"].refuse("a number that is normal in f32, above 0");
  GRADSTAB_RETURN_IF_ERROR(state.status());
  scale_ = static_cast<float>(scale);
  growth_count_ = growth_count;
  skipped_steps_ = skipped_steps;
  return {};
}

}  // namespace gradstab::lab
