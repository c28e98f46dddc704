#include "support/plain_percentile_clip.hpp"

#include <cmath>
#include <cstddef>
#include <cstdint>

namespace gradstab::testing {
namespace {

/// By rank, without sorting: the norm that as many are below as `percentile` says, and the next, in
/// proportion.
double plain_limit(const std::vector<double>& norms, double percentile) {
  const double wanted = percentile / 100.0 * static_cast<double>(norms.size() - 1);
  double below = 0.0;
  double above = 0.0;
  for (const double one : norms) {
    double less = 0.0;
    double equal = 0.0;
    for (const double other : norms) {
      less += other < one ? 1.0 : 0.0;
      equal += other == one ? 1.0 : 0.0;
    }
    const auto has_rank = [&](double rank) { return less <= rank && rank < less + equal; };
    if (has_rank(std::floor(wanted))) below = one;
    if (has_rank(std::ceil(wanted))) above = one;
  }
  return below + (wanted - std::floor(wanted)) * (above - below);
}

}  // namespace

ParameterSet clipped_parameters() {
  return ParameterSet::create({{"matrix", {3, 4}}, {"vector", {6}}}).value();
}

std::vector<Values> clipped_gradients(int step) {
  const double deviation = step % 13 == 0 ? 100.0 : 1.0 + 0.5 * std::sin(step);
  const auto seed = static_cast<std::uint32_t>(step);
  return {normal_values(12, deviation, seed), normal_values(6, deviation, seed + 1000)};
}

std::vector<double> recorded_norms() {
  std::vector<double> norms;
  for (int step = 1; step <= kRecordedSteps; ++step) {
    Values all;
    for (const Values& tensor : clipped_gradients(step)) all.insert(all.end(), tensor.begin(), tensor.end());
    norms.push_back(norm_of(all));
  }
  return norms;
}

std::vector<double> plain_percentile_factors(const std::vector<double>& norms, double percentile) {
  std::vector<double> factors;
  std::vector<double> so_far;
  for (const double norm : norms) {
    so_far.push_back(norm);
    factors.push_back(std::fmin(1.0, plain_limit(so_far, percentile) / (norm + 1e-6)));
  }
  return factors;
}

}  // namespace gradstab::testing
