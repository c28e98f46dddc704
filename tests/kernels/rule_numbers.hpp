// What the tests know of every update rule.
#pragma once

#include <vector>

#include "gradstab/backend.hpp"

namespace gradstab::testing {

inline constexpr double kU = 0x1p-24;  // unit roundoff of float32

/// One element of a step that was worked out by hand.
struct HandCase {
  const char* name;
  UpdateRule rule;
  UpdateScalars scalars;
  double parameter, gradient;
  double states[kMaxStates];
  double expected_parameter;
  double expected_states[kMaxStates];
};

/// Every rule at least once. Small dyadic numbers: every operation is exact in float32, so every backend must
/// give these very values.
std::vector<HandCase> hand_cases();

/// What a rule makes of its numbers.
struct RuleFacts {
  std::vector<double UpdateScalars::*> scalars;     ///< those that it reads
  std::vector<double UpdateScalars::*> only_flips;  ///< those of which nothing but a sign depends
  bool steps_by_a_sign = false;                     ///< which is 0 for NaN
};
RuleFacts facts_of(UpdateRule rule);

/// How far float32 results may lie from the reference's for one element. Every scalar is rounded once, every
/// operation once, and what both store once more: each time by at most kU of the result. A sum errs by its
/// parts' errors plus kU of itself; magnitudes are those of sums of absolute values, so that cancellation is
/// covered.
struct Bounds {
  double parameter = 0.0;
  double states[kMaxStates] = {};
};

Bounds bounds_of(UpdateRule rule, const UpdateScalars& s, double p, double g, const double* old);

}  // namespace gradstab::testing
