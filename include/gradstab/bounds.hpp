// Closed-form bounds on the stabilized norm.
//
// Numbering follows arXiv 2502.17055v4. With x = gamma1^2 / gamma2, every bound holds for any sequence of raw
// norms, however large: that is the point of the method.
#pragma once

#include <cstdint>

#include "gradstab/options.hpp"

namespace gradstab {

/// Lemma 3.6, paper form: rho_t <= (1-gamma1) / (sqrt(1-gamma2) sqrt(1-x)) at every step. Infinity where
/// gamma1^2 >= gamma2, where no uniform bound exists. 15.8158 at the defaults.
double uniform_bound(const StabilizerOptions& options);

/// The least upper bound of rho at step `step` (from 1), for the form that `options` selects. Follows from
/// Cauchy-Schwarz over the unrolled averages; reached by norms that grow by gamma2/gamma1 per step.
///   paper form:     (1-gamma1)/sqrt(1-gamma2) * sqrt((1-x^t)/(1-x))
///   released form:  the same times sqrt(1-gamma2^t) / (1-gamma1^t)
double step_bound(const StabilizerOptions& options, std::int64_t step);

/// Lemma 3.4, paper form: rho on a step whose norm is at least `ratio` times the first moment before it:
/// (1-gamma1)/sqrt(1-gamma2) + gamma1/(ratio sqrt(1-gamma2)).
double spike_bound(const StabilizerOptions& options, double ratio);

/// Lemma 3.2: the mean of rho for stationary norms with this coefficient of variation, 1/sqrt(1+cv^2).
double stationary_stabilized_norm(double coefficient_of_variation);

/// The norms that reach step_bound at every step: (gamma2/gamma1)^(step-1) for step = 1, 2, ...
double worst_case_norm(const StabilizerOptions& options, std::int64_t step);

}  // namespace gradstab
