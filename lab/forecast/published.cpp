#include "lab/forecast/published.hpp"

#include <algorithm>
#include <cctype>
#include <cmath>

namespace gradstab::lab::forecast {

double type3_factor(std::int64_t epoch, bool one_cycle_start) noexcept {
  if (epoch < 1) return one_cycle_start ? 1.0 / 25 : 1;
  return epoch <= 3 ? 1 : std::pow(0.9, static_cast<double>(epoch - 3));
}

double published_beta1(bool one_cycle_start) noexcept {
  return one_cycle_start ? 0.95 : 0.9;
}

PatchTstConfig PublishedSettings::config(std::int64_t horizon, const Compat& compat) const {
  PatchTstConfig config;
  config.horizon = horizon;
  config.layers = layers;
  config.heads = heads;
  config.width = width;
  config.hidden = hidden;
  config.dropout = dropout;
  config.channels = channels;
  config.compat_revin_inverse = compat.revin_inverse;
  return config;
}

const PublishedSettings* published_settings(std::string_view series) noexcept {
  const auto same_letter = [](unsigned char a, unsigned char b) {
    return std::tolower(a) == std::tolower(b);
  };
  const auto found = std::ranges::find_if(kPublishedSettings, [&](const PublishedSettings& settings) {
    return std::ranges::equal(settings.series, series, same_letter);
  });
  return found == kPublishedSettings.end() ? nullptr : &*found;
}

}  // namespace gradstab::lab::forecast
