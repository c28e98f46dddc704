// Gradient spikes and NaNs made on purpose.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "gradstab/status.hpp"

namespace gradstab::lab {

/// What happens to the gradients of one update, or of each update with some probability.
struct InjectedSpike {
  std::int64_t update = 0;   ///< from 1; 0: any
  double probability = 1.0;  ///< of an update, where any can be hit
  double factor = 1.0;       ///< of all gradients; NaN: one element of one gradient becomes NaN
};

/// "100:1000,200:nan,random:0.01:1e3"; nothing for an empty text. Errors name the part that does not fit.
Result<std::vector<InjectedSpike>> parse_injected_spikes(const std::string& text);

/// The product of the factors that hit `update`, NaN if one of them is; nothing if none does. Which updates
/// are hit at random depends on the seed and the number of the update alone: not on the method, and not on
/// whether the run was resumed.
std::optional<double> injected_factor(const std::vector<InjectedSpike>& spikes, std::uint64_t seed,
                                      std::int64_t update);

/// Which of `count` gradients gets the NaN of this update.
std::size_t poisoned_gradient(std::uint64_t seed, std::int64_t update, std::size_t count);

}  // namespace gradstab::lab
