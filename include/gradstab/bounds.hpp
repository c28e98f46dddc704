// Closed-form bounds on the stabilized norm, and what a spike leaves behind.
//
// Numbering follows arXiv 2502.17055v4. With x = gamma1^2 / gamma2, every bound holds for any sequence of raw
// norms, however large: that is the point of the method. With robust moments (`robust_kappa` above 0) a
// winsorized sequence of norms enters the moments. Every bound below therefore still holds and, in the
// released form, rho stays within G = gamma1 + (1-gamma1) kappa, 1.8 at kappa 3. Derivations are in
// docs/methods.md.
#pragma once

#include <cstdint>
#include <limits>

#include "gradstab/export.hpp"
#include "gradstab/options.hpp"

namespace gradstab {

/// Lemma 3.6, paper form: rho_t <= (1-gamma1) / (sqrt(1-gamma2) sqrt(1-x)) at every step. Infinity if
/// gamma1^2 >= gamma2: no uniform bound exists there. 15.8158 at the defaults. With robust moments the
/// largest step_bound of the form that `options` selects: 1.7982 in the released form at kappa 3, 15.6 in the
/// paper form, whose first norms count too much.
GRADSTAB_API double uniform_bound(const StabilizerOptions& options);

/// The least upper bound of rho at step `step` (from 1), for the form that `options` selects. Follows from
/// Cauchy-Schwarz over the unrolled averages; reached by norms that grow by gamma2/gamma1 per step.
///   paper form:     (1-gamma1)/sqrt(1-gamma2) * sqrt((1-x^t)/(1-x))
///   released form:  the same times sqrt(1-gamma2^t) / (1-gamma1^t)
/// With robust moments, in the released form: b_t, where b_1 = 1 and
///   b_t = max over x <= X_t of ((1-w) b_(t-1) + w x) / sqrt(1 - u + u x^2),
///   X_t = max(1, kappa - (1-w)/w (b_(t-1) - 1)), w = (1-gamma1)/(1-gamma1^t), u = (1-gamma2)/(1-gamma2^t);
/// in the paper form that times (1-gamma1^t) / sqrt(1-gamma2^t). A history that started afresh counts its
/// steps from there: NormMoments::step.
GRADSTAB_API double step_bound(const StabilizerOptions& options, std::int64_t step);

/// Lemma 3.4, paper form: rho on a step whose norm is at least `ratio` times the first moment before it:
/// (1-gamma1)/sqrt(1-gamma2) + gamma1/(ratio sqrt(1-gamma2)). For the published moments.
GRADSTAB_API double spike_bound(const StabilizerOptions& options, double ratio);

/// Lemma 3.2: the mean of rho for stationary norms with this coefficient of variation, 1/sqrt(1+cv^2).
GRADSTAB_API double stationary_stabilized_norm(double coefficient_of_variation);

/// The norms that reach step_bound of the published moments at every step: (gamma2/gamma1)^(step-1).
GRADSTAB_API double worst_case_norm(const StabilizerOptions& options, std::int64_t step);

/// The smallest kappa at which robust moments no longer give a tighter bound than the published ones in the
/// long run, because they then do not change the worst-case norms: (rho_bar gamma2/gamma1 - gamma1) /
/// (1-gamma1) with rho_bar the uniform bound of the published moments. 64.3 at the defaults; infinity for
/// gamma1 = 0.
GRADSTAB_API double robust_kappa_of_no_effect(const StabilizerOptions& options);

inline constexpr std::int64_t kLongHistory = std::numeric_limits<std::int64_t>::max();

/// rho on a spike of `ratio` (at least 1, or infinity) times a norm that was constant for `history` steps.
/// Exact, for the form and the kappa of `options`.
GRADSTAB_API double spike_stabilized_norm(const StabilizerOptions& options, double ratio,
                                          std::int64_t history = kLongHistory);

/// The smallest rho after that spike, once the first moment has forgotten it (about 20 steps at the default
/// gamma1): 1/sqrt(1 + (K^2 - 1)(1-gamma2)) for a long history, with K the spike's ratio or, if smaller,
/// kappa.
GRADSTAB_API double suppressed_stabilized_norm(const StabilizerOptions& options, double ratio,
                                               std::int64_t history = kLongHistory);

/// Steps after that spike until rho is back at `fraction` (in (0, 1)) of its value for a constant norm, again
/// once the first moment has forgotten the spike; 0 if the second moment by itself never lowers it that far:
/// ln((K^2 - 1)(1-gamma2) / (1/fraction^2 - 1)) / -ln(gamma2), rounded up, for a long history.
GRADSTAB_API std::int64_t recovery_steps(const StabilizerOptions& options, double ratio, double fraction,
                                         std::int64_t history = kLongHistory);

}  // namespace gradstab
