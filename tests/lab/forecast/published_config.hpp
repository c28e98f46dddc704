// The model that was published for a series.
#pragma once

#include <cstdint>

#include "lab/forecast/patch_tst_config.hpp"
#include "lab/forecast/published.hpp"

namespace gradstab::lab::forecast {

inline PatchTstConfig config_of(const PublishedSettings& published, std::int64_t horizon) {
  PatchTstConfig config;
  config.horizon = horizon;
  config.layers = published.layers;
  config.heads = published.heads;
  config.width = published.width;
  config.hidden = published.hidden;
  config.dropout = published.dropout;
  config.channels = published.channels;
  return config;
}

}  // namespace gradstab::lab::forecast
