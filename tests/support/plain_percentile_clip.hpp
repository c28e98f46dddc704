// Percentile clipping computed in a way of its own, and gradients for it: what the examples of methods of
// one's own are compared with.
#pragma once

#include <vector>

#include "gradstab/tensor.hpp"
#include "support/gradients.hpp"

namespace gradstab::testing {

inline constexpr int kRecordedSteps = 40;

/// Parameters, and their gradients in step 1, 2, ...: of changing size, with a spike now and then.
ParameterSet clipped_parameters();
std::vector<Values> clipped_gradients(int step);

/// The norms of all gradients together, step by step.
std::vector<double> recorded_norms();

/// The factor for each of these norms, one after another.
std::vector<double> plain_percentile_factors(const std::vector<double>& norms, double percentile);

}  // namespace gradstab::testing
