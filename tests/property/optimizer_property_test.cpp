// What the bound on rho does for the optimizers behind it.
#include <cmath>

#include "gradstab/bounds.hpp"
#include "gradstab/transforms.hpp"
#include "property/generators.hpp"
#include "property/property.hpp"

namespace gradstab {
namespace {

using testing::Gradients;
using testing::rounding_slack;
using testing::Values;

/// Largest relative error of an output norm: the product, and the norm measured over `count` elements.
double output_slack(std::size_t count) {
  return (static_cast<double>(count) + 4.0) * 0x1p-53;
}

GRADSTAB_PROPERTY(OptimizerPropertyTest, Theorem39AdamsMomentsAreBoundedPerCoordinate) {
  const StabilizerOptions options = *testing::paper_options();
  const auto sequence = *testing::norm_sequence(options, 150, 1e290);
  const double beta1 = *rc::gen::element(0.0, 0.9, 0.95);
  const double beta2 = *rc::gen::element(0.9, 0.98, 0.999);
  const auto count = *rc::gen::inRange<std::size_t>(1, 6);
  const bool same_direction = *rc::gen::arbitrary<bool>();  // the adversary's choice: nothing cancels
  std::mt19937_64 random = testing::random_engine();

  const ParameterSet parameters = testing::parameter_set_of_sizes({{static_cast<std::int64_t>(count)}});
  GradientTransform transform = stabilize(options);
  RC_ASSERT(transform.init(parameters).ok());
  Gradients gradients(parameters, DType::float64);
  const double bound = uniform_bound(options);
  Values first(count);
  Values second(count);
  std::int64_t t = 0;
  for (const double norm : sequence.norms) {
    Values gradient(count);
    if (same_direction) {
      gradient[0] = norm;
    } else {
      gradient = testing::vector_of_norm(random, count, norm);
    }
    gradients.set(0, gradient);
    RC_ASSERT(transform.update(gradients.refs()).ok());
    const Values out = gradients.values(0);
    ++t;
    const double power1 = 1.0 - std::pow(beta1, static_cast<double>(t));
    const double power2 = 1.0 - std::pow(beta2, static_cast<double>(t));
    // Adam's own recursion rounds 3 times a step and forgets like its beta; 1 - beta^t has an absolute error
    // of u.
    const double slack = rounding_slack(options, t) + output_slack(count) +
                         4.0 * 0x1p-53 * (1.0 / (1.0 - beta1) + 1.0 / (1.0 - beta2));
    for (std::size_t i = 0; i < count; ++i) {
      first[i] = beta1 * first[i] + (1.0 - beta1) * out[i];
      second[i] = beta2 * second[i] + (1.0 - beta2) * out[i] * out[i];
      RC_ASSERT(std::fabs(first[i]) <= bound * power1 * (1.0 + slack));
      RC_ASSERT(second[i] <= bound * bound * power2 * (1.0 + 2.0 * slack));
    }
  }
}

GRADSTAB_PROPERTY(OptimizerPropertyTest, Corollary311SgdStepsAreBoundedPerTensorAndTogether) {
  const StabilizerOptions options = *testing::paper_options();
  const double learning_rate = *rc::gen::element(1.0, 0.1, 1e-3);
  const auto tensors = *rc::gen::inRange<std::size_t>(1, 6);
  std::mt19937_64 random = testing::random_engine();
  std::vector<std::vector<std::int64_t>> sizes;
  std::vector<testing::NormSequence> sequences;
  for (std::size_t k = 0; k < tensors; ++k) {
    sizes.push_back({*rc::gen::inRange<std::int64_t>(1, 20)});
    sequences.push_back(*testing::norm_sequence(options, 100, 1e290));
  }
  const ParameterSet parameters = testing::parameter_set_of_sizes(sizes);
  GradientTransform transform = stabilize(options);
  RC_ASSERT(transform.init(parameters).ok());
  Gradients gradients(parameters, DType::float64);
  const double bound = learning_rate * uniform_bound(options);
  for (std::size_t t = 0; t < 100; ++t) {
    for (std::size_t k = 0; k < tensors; ++k) {
      const auto& norms = sequences[k].norms;
      const auto count = static_cast<std::size_t>(sizes[k][0]);
      gradients.set(k, testing::vector_of_norm(random, count, norms[t % norms.size()]));
    }
    RC_ASSERT(transform.update(gradients.refs()).ok());
    double squares = 0.0;
    const double slack = rounding_slack(options, static_cast<std::int64_t>(t) + 1) + output_slack(20);
    for (std::size_t k = 0; k < tensors; ++k) {
      const double step = learning_rate * testing::norm_of(gradients.values(k));
      RC_ASSERT(step <= bound * (1.0 + slack));
      squares += step * step;
    }
    RC_ASSERT(std::sqrt(squares) <= bound * std::sqrt(static_cast<double>(tensors)) * (1.0 + slack));
  }
}

}  // namespace
}  // namespace gradstab
