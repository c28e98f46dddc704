// The settings that PatchTST was published with.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace gradstab::lab::forecast {

/// The settings published for a series; all have look-back 336 and horizons 96, 192, 336 and 720.
struct PublishedSettings {
  std::string_view series;  ///< "ETTh1"
  std::int64_t channels = 0, layers = 0, heads = 0, width = 0, hidden = 0;
  double dropout = 0;
  std::int64_t batch = 0;
  double learning_rate = 0;
  std::int64_t epochs = 0;
  bool one_cycle = false;  ///< the learning rate follows one cycle ("TST") rather than type3
};
inline constexpr std::array<PublishedSettings, 4> kPublishedSettings{{
    {"weather", 21, 3, 16, 128, 256, 0.2, 128, 1e-4, 100, false},
    {"ETTh1", 7, 3, 4, 16, 128, 0.3, 128, 1e-4, 100, false},
    {"ETTh2", 7, 3, 4, 16, 128, 0.3, 128, 1e-4, 100, false},
    {"ETTm1", 7, 3, 16, 128, 256, 0.2, 128, 1e-4, 100, true},
}};

/// Those of a series of this name, in any case of letters; null where there are none.
const PublishedSettings* published_settings(std::string_view series) noexcept;

}  // namespace gradstab::lab::forecast
