#include "lab/train/loss_scaler.hpp"

#include <cmath>

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

nlohmann::ordered_json LossScaler::state() const {
  return {{"scale", scale_}, {"growth_count", growth_count_}, {"skipped_steps", skipped_steps_}};
}

void LossScaler::restore(const nlohmann::ordered_json& state) {
  const auto scale = state.at("scale").get<float>();
  const auto growth_count = state.at("growth_count").get<std::int64_t>();
  const auto skipped_steps = state.at("skipped_steps").get<std::int64_t>();
  scale_ = scale;
  growth_count_ = growth_count;
  skipped_steps_ = skipped_steps;
}

}  // namespace gradstab::lab
