// Noise in the inputs of training, as in the paper's figures 6 and 9.
#pragma once

#include <cstdint>
#include <span>

#include "gradstab/status.hpp"
#include "lab/nn/counter_random.hpp"

namespace gradstab::lab::forecast {

/// With `probability` each single value of a training input gets a number from N(0, (level * maximum)^2)
/// added, independently of all others.
///
/// The paper says that 5 % of the inputs are corrupted, and by the maximum of X, and leaves open whether that
/// is 5 % of the values or of the time steps, and the maximum of what. Here it is values, after
/// standardization and before the window is normalized, and one maximum for all channels: the largest value
/// of the standardized training part (StandardSeries::training_maximum), which does not depend on the batch.
/// Targets and the inputs of validation and test stay clean.
struct Corruption {
  double probability = 0;  ///< in [0, 1]; 0: none
  double level = 0;        ///< at least 0

  /// invalid_argument, naming the value and what was expected.
  Status validate() const;
};

/// Corrupts the inputs of one micro-batch in place; `maximum` is in standard deviations. The noise of element
/// i is a function of (draw, i) alone.
void corrupt(std::span<float> inputs, const Corruption& corruption, double maximum, const nn::Draw& draw);

}  // namespace gradstab::lab::forecast
