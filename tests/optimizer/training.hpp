// A small model in training: parameters, gradients and an optimizer over them.
#pragma once

#include <optional>
#include <random>
#include <string>
#include <vector>

#include "gradstab/optimizer.hpp"
#include "optimizer/plain_optimizer.hpp"
#include "support/gradients.hpp"

namespace gradstab::testing {

/// Six parameters whose names say something to Adam-mini with dim 8 and 2 heads: an embedding and a
/// projection in rows, a query weight in heads, a bias by element, a gain and a rank-0 tensor whole. `width`
/// is free.
ParameterSet small_model(std::int64_t width = 5);

/// Elements per unit of small_model's parameters in Adam-mini, and whether they decay.
std::vector<PlainParameter> plain_parameters(const ParameterSet& small);

Values random_values(std::mt19937_64& random, std::size_t count, double deviation);

/// For every parameter; normally distributed, and with a spike once in a while.
std::vector<Values> random_gradients(std::mt19937_64& random, const ParameterSet& parameters);

/// Multiples of 1/16 up to about 4, exact in every dtype; sums of their squares are exact, in any order.
std::vector<Values> exact_gradients(std::mt19937_64& random, const ParameterSet& parameters);

/// Parameters and gradients in memory of their own, and the optimizer.
struct Training {
  Training(const ParameterSet& set, DType parameter_dtype, DType gradient_dtype, OptimizerOptions options,
           std::optional<GradientTransform> transform = {}, OptimizerRunOptions run = {},
           std::vector<OptimizerGroup> groups = {}, unsigned seed = 1);
  Training(const ParameterSet& set, DType dtype, OptimizerOptions options,
           std::optional<GradientTransform> transform = {}, OptimizerRunOptions run = {})
      : Training(set, dtype, dtype, std::move(options), std::move(transform), std::move(run)) {}

  /// Throws unless it succeeds.
  StepReport step(const std::vector<Values>& values);

  std::vector<std::byte> weight_bytes() const;

  ParameterSet parameters;
  Gradients weights;
  Gradients gradients;
  Optimizer optimizer;
};

/// The first element in which two lists differ by more than `tolerance` times the larger of 1 and the
/// expected value; empty if none does.
std::string difference(const std::vector<Values>& actual, const std::vector<Values>& expected,
                       double tolerance);

}  // namespace gradstab::testing
