// Theorem 3.9 and Corollary 3.11 of the paper, with the library's own Adam and SGD behind stabilize.
#include <cmath>

#include "gradstab/bounds.hpp"
#include "gradstab/optimizer.hpp"
#include "gradstab/transforms.hpp"
#include "property/generators.hpp"
#include "property/property.hpp"

namespace gradstab {
namespace {

using testing::Gradients;
using testing::rounding_slack;
using testing::Values;

constexpr double kU = 0x1p-53;

/// Largest relative error of a gradient's norm after the transform: the product, and the norm measured over
/// `count` elements.
double output_slack(std::size_t count) {
  return (static_cast<double>(count) + 4.0) * kU;
}

GRADSTAB_PROPERTY(FusedOptimizerPropertyTest, Theorem39StabilizedAdamsMomentsAreBoundedPerCoordinate) {
  const StabilizerOptions options = *testing::paper_options();
  const auto sequence = *testing::norm_sequence(options, 150, 1e290);
  AdamOptions adam;
  adam.beta1 = *rc::gen::element(0.0, 0.9, 0.95);
  adam.beta2 = *rc::gen::element(0.9, 0.98, 0.999);
  adam.amsgrad = *rc::gen::arbitrary<bool>();
  const auto count = *rc::gen::inRange<std::size_t>(1, 6);
  const bool same_direction = *rc::gen::arbitrary<bool>();  // the adversary's choice: nothing cancels
  std::mt19937_64 random = testing::random_engine();

  const ParameterSet parameters = testing::parameter_set_of_sizes({{static_cast<std::int64_t>(count)}});
  Optimizer optimizer(adam, stabilize(options));
  RC_ASSERT(optimizer.init(parameters).ok());
  Gradients weights(parameters, DType::float64);
  Gradients gradients(parameters, DType::float64);
  const double bound = uniform_bound(options);
  std::int64_t t = 0;
  for (const double norm : sequence.norms) {
    Values gradient(count);
    if (same_direction) {
      gradient[0] = norm;
    } else {
      gradient = testing::vector_of_norm(random, count, norm);
    }
    gradients.set(0, gradient);
    RC_ASSERT(optimizer.step(weights.refs(), gradients.refs()).ok());
    ++t;
    const auto state = optimizer.parameter_state(0).value();
    RC_ASSERT(state.step == t);
    const double power1 = 1.0 - std::pow(adam.beta1, static_cast<double>(t));
    const double power2 = 1.0 - std::pow(adam.beta2, static_cast<double>(t));
    // Adam's recursion rounds 4 times a step and forgets like its beta; 1 - beta^t has an absolute error of
    // u.
    const double slack = rounding_slack(options, t) + output_slack(count) +
                         5.0 * kU * (1.0 / (1.0 - adam.beta1) + 1.0 / (1.0 - adam.beta2));
    for (std::size_t i = 0; i < count; ++i) {
      RC_ASSERT(std::fabs(state.values[0][i]) <= bound * power1 * (1.0 + slack));
      RC_ASSERT(state.values[1][i] <= bound * bound * power2 * (1.0 + 2.0 * slack));
      if (adam.amsgrad) {
        RC_ASSERT(state.values[2][i] <= bound * bound * power2 * (1.0 + 2.0 * slack));
        RC_ASSERT(state.values[2][i] >= state.values[1][i]);
      }
    }
  }
}

/// Without the transform the bound does not hold: the property above can fail.
TEST(FusedOptimizerPropertyTest, Theorem39FailsWithoutTheTransform) {
  const ParameterSet parameters = testing::parameter_set_of_sizes({{1}});
  Optimizer optimizer(AdamOptions{});
  ASSERT_TRUE(optimizer.init(parameters).ok());
  Gradients weights(parameters, DType::float64);
  Gradients gradients(parameters, DType::float64);
  gradients.set(0, Values{1000.0});
  ASSERT_TRUE(optimizer.step(weights.refs(), gradients.refs()).ok());
  EXPECT_GT(optimizer.parameter_state(0)->values[0][0], uniform_bound(StabilizerOptions::paper()) * 0.1);
}

GRADSTAB_PROPERTY(FusedOptimizerPropertyTest, Corollary311StabilizedSgdStepsAreBoundedPerTensorAndTogether) {
  const StabilizerOptions options = *testing::paper_options();
  const double learning_rate = *rc::gen::element(1.0, 0.1, 1e-3);
  const bool one_by_one = *rc::gen::arbitrary<bool>();
  const auto tensors = *rc::gen::inRange<std::size_t>(1, 6);
  std::mt19937_64 random = testing::random_engine();
  std::vector<std::vector<std::int64_t>> sizes;
  std::vector<testing::NormSequence> sequences;
  std::vector<Values> zeros;
  for (std::size_t k = 0; k < tensors; ++k) {
    sizes.push_back({*rc::gen::inRange<std::int64_t>(1, 20)});
    sequences.push_back(*testing::norm_sequence(options, 60, 1e290));
    zeros.emplace_back(static_cast<std::size_t>(sizes[k][0]), 0.0);
  }
  const ParameterSet parameters = testing::parameter_set_of_sizes(sizes);
  Optimizer optimizer(SgdOptions{.lr = learning_rate}, stabilize(options));
  RC_ASSERT(optimizer.init(parameters).ok());
  Gradients weights(parameters, DType::float64);
  Gradients gradients(parameters, DType::float64);
  const double bound = learning_rate * uniform_bound(options);
  for (std::size_t t = 0; t < 60; ++t) {
    weights.set_all(zeros);  // the step is then what the weights are, without the rounding of a difference
    for (std::size_t k = 0; k < tensors; ++k) {
      const auto& norms = sequences[k].norms;
      gradients.set(k, testing::vector_of_norm(random, zeros[k].size(), norms[t % norms.size()]));
      if (one_by_one) RC_ASSERT(optimizer.step_one(k, weights.refs()[k], gradients.refs()[k]).ok());
    }
    if (!one_by_one) RC_ASSERT(optimizer.step(weights.refs(), gradients.refs()).ok());
    double squares = 0.0;
    const double slack =
        rounding_slack(options, static_cast<std::int64_t>(t) + 1) + output_slack(20) + 2.0 * kU;
    for (std::size_t k = 0; k < tensors; ++k) {
      const double step = testing::norm_of(weights.values(k));
      RC_ASSERT(step <= bound * (1.0 + slack));
      squares += step * step;
    }
    RC_ASSERT(std::sqrt(squares) <= bound * std::sqrt(static_cast<double>(tensors)) * (1.0 + slack));
  }
}

/// The bound is reached: norms that grow by gamma2/gamma1 per step.
TEST(FusedOptimizerPropertyTest, Corollary311IsReachedByTheWorstGrowth) {
  const StabilizerOptions options = StabilizerOptions::paper();
  const ParameterSet parameters = testing::parameter_set_of_sizes({{1}});
  Optimizer optimizer(SgdOptions{.lr = 0.5}, stabilize(options));
  ASSERT_TRUE(optimizer.init(parameters).ok());
  Gradients weights(parameters, DType::float64);
  Gradients gradients(parameters, DType::float64);
  double norm = 1.0;
  for (int t = 0; t < 60; ++t, norm *= options.gamma2 / options.gamma1) {
    weights.set(0, Values{0.0});
    gradients.set(0, Values{norm});
    ASSERT_TRUE(optimizer.step(weights.refs(), gradients.refs()).ok());
  }
  EXPECT_NEAR(-weights.values(0)[0], 0.5 * uniform_bound(options), 1e-12);
}

}  // namespace
}  // namespace gradstab
