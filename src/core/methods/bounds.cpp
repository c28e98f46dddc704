#include "gradstab/bounds.hpp"

#include <cmath>
#include <limits>

#include "core/base/floating_point.hpp"

namespace gradstab {
namespace {

double decay_ratio(const StabilizerOptions& options) {
  return options.gamma1 * options.gamma1 / options.gamma2;
}

/// The largest quotient of mean and root, b_t, that robust moments can have after t norms; see step_bound.
class RobustQuotient {
 public:
  explicit RobustQuotient(const StabilizerOptions& options) : options_(options) {}

  double value() const noexcept { return value_; }

  /// The next b_t.
  void advance() noexcept {
    const double history = 1.0 - std::pow(options_.gamma1, step_);
    step_ += 1.0;
    advance(history, (1.0 - options_.gamma2) / (1.0 - std::pow(options_.gamma2, step_)));
  }

  /// The next one where both moments have a long history. Repeated, it ends where b_t does.
  void advance_at_length() noexcept { advance(1.0, 1.0 - options_.gamma2); }

 private:
  /// `history` is 1 - gamma1^(t-1), `square` the weight of the new norm in the corrected second moment.
  void advance(double history, double square) noexcept {
    const double before = value_;
    const double kappa = options_.robust_kappa;
    const double kept = options_.gamma1 * history / (1.0 - options_.gamma1);  // (1 - w)/w
    const double weight = 1.0 / (1.0 + kept);                                 // w
    const double highest = std::fmax(1.0, kappa - kept * (before - 1.0));
    // In units of the root before, a norm x gives ((1 - w) b + w x) / sqrt(1 - u + u x^2), which rises up to
    // the best x. Where that is out of reach, the highest norm counts.
    const double best = (1.0 - square) / (kept * before * square);
    if (best < highest) {
      value_ = std::hypot((1.0 - weight) * before / std::sqrt(1.0 - square), weight / std::sqrt(square));
    } else {
      value_ =
          ((1.0 - weight) * before + weight * highest) / std::sqrt(1.0 - square + square * highest * highest);
    }
  }

  StabilizerOptions options_;
  double step_ = 1.0;
  double value_ = 1.0;
};

/// Weight of `history` steps in a moment: 1 - gamma^history.
double weight_of(double gamma, std::int64_t history) {
  return history == kLongHistory ? 1.0 : 1.0 - std::pow(gamma, static_cast<double>(history));
}

double robust_step_bound(const StabilizerOptions& options, std::int64_t step) {
  RobustQuotient quotient(options);
  for (std::int64_t t = 2; t <= step; ++t) quotient.advance();
  if (options.bias_correction) return quotient.value();
  return quotient.value() * weight_of(options.gamma1, step) / std::sqrt(weight_of(options.gamma2, step));
}

/// The largest over all steps: of those before the moments have a history, and of a long one.
double robust_uniform_bound(const StabilizerOptions& options) {
  constexpr std::int64_t kFirstSteps = 1000;
  RobustQuotient quotient(options);
  double largest = 0.0;
  for (std::int64_t t = 1; t <= kFirstSteps; ++t) {
    if (t > 1) quotient.advance();
    const double form = options.bias_correction
                            ? 1.0
                            : weight_of(options.gamma1, t) / std::sqrt(weight_of(options.gamma2, t));
    largest = std::fmax(largest, quotient.value() * form);
  }
  // The last bits may alternate for ever.
  constexpr std::int64_t kMostSteps = 100000;
  double before = 0.0;
  for (std::int64_t t = 1; t <= kMostSteps && before != quotient.value(); ++t) {
    before = quotient.value();
    quotient.advance_at_length();
  }
  return std::fmax(largest, quotient.value());
}

double published_paper_bound(const StabilizerOptions& options, std::int64_t step) {
  const auto t = static_cast<double>(step);
  const double x = options.gamma1 == 0.0 ? 0.0 : decay_ratio(options);
  // Near x = 1 the closed form cancels; expm1 and log1p keep its digits, and at x = 1 the sum has t equal
  // terms.
  const double sum = step == 1 || x == 0.0    ? 1.0
                     : detail::is_infinite(x) ? x
                     : x == 1.0               ? t
                                              : std::expm1(t * std::log(x)) / (x - 1.0);
  return (1.0 - options.gamma1) / std::sqrt(1.0 - options.gamma2) * std::sqrt(sum);
}

/// What of a spike of this ratio enters the moments of a constant norm of 1.
double entering_ratio(const StabilizerOptions& options, double ratio) {
  return options.robust_kappa > 0.0 ? std::fmin(ratio, options.robust_kappa) : ratio;
}

}  // namespace

double uniform_bound(const StabilizerOptions& options) {
  const double x = decay_ratio(options);
  // Norms that fall let the second moment forget faster than the first where x >= 1, and there is nothing to
  // winsorize in falling norms.
  if (options.robust_kappa > 0.0 && (x < 1.0 || options.gamma1 == 0.0)) return robust_uniform_bound(options);
  // gamma2 = 0 remembers one norm only; x is then 0/0 or infinite, and a bound exists for gamma1 = 0 alone.
  if (options.gamma1 == 0.0) return 1.0 / std::sqrt(1.0 - options.gamma2);
  if (!(x < 1.0)) return std::numeric_limits<double>::infinity();
  return (1.0 - options.gamma1) / (std::sqrt(1.0 - options.gamma2) * std::sqrt(1.0 - x));
}

double step_bound(const StabilizerOptions& options, std::int64_t step) {
  if (options.robust_kappa > 0.0) return robust_step_bound(options, step);
  const double paper = published_paper_bound(options, step);
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
  StabilizerOptions published = options;
  published.robust_kappa = 0.0;
  return (uniform_bound(published) * options.gamma2 / options.gamma1 - options.gamma1) /
         (1.0 - options.gamma1);
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
