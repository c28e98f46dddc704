#include "gradstab/bounds.hpp"

#include <cmath>
#include <limits>

namespace gradstab {
namespace {

double decay_ratio(const StabilizerOptions& options) {
  return options.gamma1 * options.gamma1 / options.gamma2;
}

/// 1/sqrt((1-gamma2) c_t), step after step; see step_bound. The smallest second moment, in units of 1-gamma2,
/// that a first moment of 1 can stand beside is c_t.
class RobustPaperBound {
 public:
  explicit RobustPaperBound(const StabilizerOptions& options) : options_(options) {}

  /// Of the next step. False once further steps change nothing.
  bool advance() noexcept {
    const double g1 = options_.gamma1;
    step_ += 1.0;
    if (step_ == 1.0) {
      cost_ = 1.0 / ((1.0 - g1) * (1.0 - g1));
      return true;
    }
    const double history = 1.0 - std::pow(g1, step_ - 1.0);
    const double growth = g1 + (1.0 - g1) * options_.robust_kappa / history;
    const double decayed = options_.gamma2 * cost_;
    const double free = g1 / (g1 * g1 + decayed * (1.0 - g1) * (1.0 - g1));
    const double before = std::fmax(std::isnan(free) ? 0.0 : free, 1.0 / growth);  // first moment before
    const double entered = (1.0 - g1 * before) / (1.0 - g1);
    const double cost = entered * entered + decayed * before * before;
    const bool moved = cost != cost_ || history < 1.0;
    cost_ = cost;
    return moved;
  }

  double value() const noexcept { return 1.0 / std::sqrt((1.0 - options_.gamma2) * cost_); }

 private:
  StabilizerOptions options_;
  double step_ = 0.0;
  double cost_ = 0.0;
};

double robust_paper_bound(const StabilizerOptions& options, std::int64_t step) {
  RobustPaperBound bound(options);
  for (std::int64_t t = 1; t <= step && bound.advance(); ++t) {
  }
  return bound.value();
}

double published_paper_bound(const StabilizerOptions& options, std::int64_t step) {
  const auto t = static_cast<double>(step);
  const double x = options.gamma1 == 0.0 ? 0.0 : decay_ratio(options);
  // Near x = 1 the closed form cancels; expm1 and log1p keep its digits, and at x = 1 the sum has t equal
  // terms.
  const double sum = step == 1 || x == 0.0 ? 1.0
                     : std::isinf(x)       ? x
                     : x == 1.0            ? t
                                           : std::expm1(t * std::log(x)) / (x - 1.0);
  return (1.0 - options.gamma1) / std::sqrt(1.0 - options.gamma2) * std::sqrt(sum);
}

/// Weight of `history` steps in a moment: 1 - gamma^history.
double weight_of(double gamma, std::int64_t history) {
  return history == kLongHistory ? 1.0 : 1.0 - std::pow(gamma, static_cast<double>(history));
}

/// What of a spike of this ratio enters the moments of a constant norm of 1.
double entering_ratio(const StabilizerOptions& options, double ratio) {
  return options.robust_kappa > 0.0 ? std::fmin(ratio, options.robust_kappa) : ratio;
}

}  // namespace

double uniform_bound(const StabilizerOptions& options) {
  const double x = decay_ratio(options);
  if (options.robust_kappa > 0.0 && options.robust_kappa < robust_kappa_of_no_effect(options) &&
      (x < 1.0 || options.gamma1 == 0.0)) {
    double largest = 0.0;
    RobustPaperBound bound(options);
    // A cost that has settled to the last bits may still alternate between two of them.
    constexpr int kMaxSteps = 100000;
    for (int t = 0; t < kMaxSteps && bound.advance(); ++t) largest = std::fmax(largest, bound.value());
    return largest;
  }
  // gamma2 = 0 remembers one norm only; x is then 0/0 or infinite, and a bound exists for gamma1 = 0 alone.
  if (options.gamma1 == 0.0) return 1.0 / std::sqrt(1.0 - options.gamma2);
  if (!(x < 1.0)) return std::numeric_limits<double>::infinity();
  return (1.0 - options.gamma1) / (std::sqrt(1.0 - options.gamma2) * std::sqrt(1.0 - x));
}

double step_bound(const StabilizerOptions& options, std::int64_t step) {
  const double paper =
      options.robust_kappa > 0.0 ? robust_paper_bound(options, step) : published_paper_bound(options, step);
  if (!options.bias_correction) return paper;
  return paper * std::sqrt(weight_of(options.gamma2, step)) / weight_of(options.gamma1, step);
}

double spike_bound(const StabilizerOptions& options, double ratio) {
  return (1.0 - options.gamma1 + options.gamma1 / ratio) / std::sqrt(1.0 - options.gamma2);
}

double stationary_stabilized_norm(double coefficient_of_variation) {
  return 1.0 / std::sqrt(1.0 + coefficient_of_variation * coefficient_of_variation);
}

double worst_case_norm(const StabilizerOptions& options, std::int64_t step) {
  return std::pow(options.gamma2 / options.gamma1, static_cast<double>(step - 1));
}

double robust_kappa_of_no_effect(const StabilizerOptions& options) {
  if (options.gamma1 == 0.0) return std::numeric_limits<double>::infinity();
  return (options.gamma2 - options.gamma1 * options.gamma1) / (options.gamma1 * (1.0 - options.gamma1));
}

double spike_stabilized_norm(const StabilizerOptions& options, double ratio, std::int64_t history) {
  const double g1 = options.gamma1;
  const double g2 = options.gamma2;
  // The first norm of all enters as it is: there is no mean to measure it by.
  const double spike = history > 0 ? entering_ratio(options, ratio) : ratio;
  // Divided by the spike, which may be infinite.
  const double first = g1 * weight_of(g1, history) / spike + (1.0 - g1);
  const double second = g2 * weight_of(g2, history) / spike / spike + (1.0 - g2);
  const double rho = first / std::sqrt(second);
  if (!options.bias_correction || history == kLongHistory) return rho;
  return rho * std::sqrt(weight_of(g2, history + 1)) / weight_of(g1, history + 1);
}

double suppressed_stabilized_norm(const StabilizerOptions& options, double ratio, std::int64_t history) {
  const double spike = entering_ratio(options, ratio);
  const double weight = weight_of(options.gamma2, history == kLongHistory ? history : history + 1);
  const double constant = options.bias_correction ? weight : 1.0;
  return std::sqrt(constant / (weight + (spike * spike - 1.0) * (1.0 - options.gamma2)));
}

std::int64_t recovery_steps(const StabilizerOptions& options, double ratio, double fraction,
                            std::int64_t history) {
  const double spike = entering_ratio(options, ratio);
  // With y = gamma2^j after j steps, the second moment is (1 - forgotten y) + excess y, against 1 - forgotten
  // y without the spike; `missing` is what their quotient may exceed 1 by.
  const double excess = (spike * spike - 1.0) * (1.0 - options.gamma2);
  const double missing = 1.0 / (fraction * fraction) - 1.0;
  const double forgotten =
      history == kLongHistory ? 0.0 : std::pow(options.gamma2, static_cast<double>(history + 1));
  const double y = missing / (excess + missing * forgotten);
  if (!(y < 1.0)) return 0;
  return static_cast<std::int64_t>(std::ceil(std::log(y) / std::log(options.gamma2)));
}

}  // namespace gradstab
