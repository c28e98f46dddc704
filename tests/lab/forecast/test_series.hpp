// Series made by formula, for tests.
#pragma once

#include <cmath>
#include <cstdint>
#include <string>
#include <utility>

#include "lab/forecast/series.hpp"
#include "lab/nn/counter_random.hpp"

namespace gradstab::lab::forecast {

/// `channels` waves of different lengths with noise, on different scales.
inline Series wavy_series(std::int64_t rows, std::int64_t channels, std::string name = "waves",
                          double noise = 0.3) {
  Series series;
  series.name = std::move(name);
  for (std::int64_t c = 0; c < channels; ++c)
    series.channels.push_back(std::string("c").append(std::to_string(c)));
  const nn::CounterKey key = nn::Draw{17, 0}.key(0);
  for (std::int64_t row = 0; row < rows; ++row)
    for (std::int64_t c = 0; c < channels; ++c) {
      const double wave = std::sin(0.26 * static_cast<double>(row) / static_cast<double>(c + 1));
      const double random = nn::counter_normal(static_cast<std::uint64_t>(row * channels + c), key);
      series.values.push_back(10 * static_cast<double>(c) +
                              static_cast<double>(c + 1) * (wave + noise * random));
    }
  return series;
}

}  // namespace gradstab::lab::forecast
