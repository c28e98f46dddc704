// The settings that PatchTST was published with, and what the published code does beside them.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "lab/forecast/patch_tst_config.hpp"

namespace gradstab::lab::forecast {

/// Behaviour of the published code that differs from what its name or documents suggest. Each is off by
/// default.
struct Compat {
  /// Training, validation and test leave out the last batch of an epoch where it is smaller, so that the test
  /// score depends on the batch size: of ETTh1 at horizon 96 it misses the last 97 of 2,785 windows.
  bool drop_last = false;
  /// A one-cycle schedule is made and then not used where the rule is type3. Making it sets the learning rate
  /// to 1/25, which the first epoch trains with, and Adam's beta1 to 0.95 for the whole run.
  bool one_cycle_start = false;
  /// PatchTstConfig::compat_revin_inverse.
  bool revin_inverse = false;
};

/// The learning rate's factor in `epoch`, from 0, by the rule "type3": 1, 1, 1, 1, 0.9, 0.81, ... With
/// one_cycle_start the first is 1/25.
double type3_factor(std::int64_t epoch, bool one_cycle_start = false) noexcept;

/// Adam's beta1: 0.9, and 0.95 with one_cycle_start.
double published_beta1(bool one_cycle_start = false) noexcept;

/// The settings published for a series; all have look-back 336 and horizons 96, 192, 336 and 720.
struct PublishedSettings {
  std::string_view series;  ///< "ETTh1"
  std::int64_t channels = 0, layers = 0, heads = 0, width = 0, hidden = 0;
  double dropout = 0;
  std::int64_t batch = 0;
  double learning_rate = 0;
  std::int64_t epochs = 0;
  std::int64_t patience = 0;  ///< epochs without a better validation score, after which training ends
  bool one_cycle = false;     ///< the learning rate follows one cycle ("TST") rather than type3

  PatchTstConfig config(std::int64_t horizon, const Compat& compat = {}) const;
};
inline constexpr std::array<PublishedSettings, 4> kPublishedSettings{{
    {"weather", 21, 3, 16, 128, 256, 0.2, 128, 1e-4, 100, 20, false},
    {"ETTh1", 7, 3, 4, 16, 128, 0.3, 128, 1e-4, 100, 100, false},
    {"ETTh2", 7, 3, 4, 16, 128, 0.3, 128, 1e-4, 100, 100, false},
    {"ETTm1", 7, 3, 16, 128, 256, 0.2, 128, 1e-4, 100, 20, true},
}};

/// Those of a series of this name, in any case of letters; null where there are none.
const PublishedSettings* published_settings(std::string_view series) noexcept;

}  // namespace gradstab::lab::forecast
