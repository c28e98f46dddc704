#include "gradstab/bounds.hpp"

#include <cmath>
#include <limits>

namespace gradstab {
namespace {

double decay_ratio(const StabilizerOptions& options) {
  return options.gamma1 * options.gamma1 / options.gamma2;
}

}  // namespace

double uniform_bound(const StabilizerOptions& options) {
  const double x = decay_ratio(options);
  // gamma2 = 0 remembers one norm only; x is then 0/0 or infinite, and a bound exists for gamma1 = 0 alone.
  if (options.gamma1 == 0.0) return 1.0 / std::sqrt(1.0 - options.gamma2);
  if (!(x < 1.0)) return std::numeric_limits<double>::infinity();
  return (1.0 - options.gamma1) / (std::sqrt(1.0 - options.gamma2) * std::sqrt(1.0 - x));
}

double step_bound(const StabilizerOptions& options, std::int64_t step) {
  const auto t = static_cast<double>(step);
  const double x = options.gamma1 == 0.0 ? 0.0 : decay_ratio(options);
  // Near x = 1 the closed form cancels; expm1 and log1p keep its digits, and at x = 1 the sum has t equal
  // terms.
  const double sum = step == 1 || x == 0.0 ? 1.0
                     : std::isinf(x)       ? x
                     : x == 1.0            ? t
                                           : std::expm1(t * std::log(x)) / (x - 1.0);
  const double paper = (1.0 - options.gamma1) / std::sqrt(1.0 - options.gamma2) * std::sqrt(sum);
  if (!options.bias_correction) return paper;
  return paper * std::sqrt(1.0 - std::pow(options.gamma2, t)) / (1.0 - std::pow(options.gamma1, t));
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

}  // namespace gradstab
