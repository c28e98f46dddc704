#include "optimizer/training.hpp"

#include <cmath>
#include <sstream>

namespace gradstab::testing {

ParameterSet small_model(std::int64_t width) {
  return parameter_set({{"embed.weight", {11, 8}},
                        {"layers.0.q_proj.weight", {8, 8}},
                        {"layers.0.mlp.weight", {width, 8}},
                        {"layers.0.mlp.bias", {width}},
                        {"norm.weight", {8}},
                        {"scale", {}}});
}

std::vector<PlainParameter> plain_parameters(const ParameterSet& small) {
  constexpr std::size_t kUnits[] = {8, 32, 8, 1, 8, 1};
  std::vector<PlainParameter> result;
  for (std::size_t i = 0; i < small.size(); ++i) {
    PlainParameter parameter;
    parameter.value.resize(static_cast<std::size_t>(element_count(small[i].sizes)));
    parameter.unit = kUnits[i];
    parameter.decays = i != 3 && i != 4;
    result.push_back(std::move(parameter));
  }
  return result;
}

Values random_values(std::mt19937_64& random, std::size_t count, double deviation) {
  std::normal_distribution<double> normal(0.0, deviation);
  Values values(count);
  for (double& value : values) value = normal(random);
  return values;
}

std::vector<Values> random_gradients(std::mt19937_64& random, const ParameterSet& parameters) {
  std::vector<Values> result;
  for (const Parameter& parameter : parameters) {
    const double deviation = random() % 16 == 0 ? 20.0 : 0.5;
    result.push_back(
        random_values(random, static_cast<std::size_t>(element_count(parameter.sizes)), deviation));
  }
  return result;
}

std::vector<Values> exact_gradients(std::mt19937_64& random, const ParameterSet& parameters) {
  std::vector<Values> result;
  for (const Parameter& parameter : parameters) {
    Values& values = result.emplace_back(static_cast<std::size_t>(element_count(parameter.sizes)));
    for (double& value : values) value = (static_cast<double>(random() % 129) - 64.0) / 16.0;
  }
  return result;
}

Training::Training(const ParameterSet& set, DType parameter_dtype, DType gradient_dtype,
                   OptimizerOptions options, std::optional<GradientTransform> transform,
                   OptimizerRunOptions run, std::vector<OptimizerGroup> groups, unsigned seed)
    : parameters(set),
      weights(set, parameter_dtype),
      gradients(set, gradient_dtype),
      optimizer(std::move(options), std::move(transform)) {
  optimizer.init(set, std::move(run), std::move(groups)).check();
  std::mt19937_64 random(seed);
  for (std::size_t i = 0; i < set.size(); ++i)
    weights.set(i, random_values(random, static_cast<std::size_t>(element_count(set[i].sizes)), 1.0));
}

StepReport Training::step(const std::vector<Values>& values) {
  gradients.set_all(values);
  return optimizer.step(weights.refs(), gradients.refs()).value();
}

std::vector<std::byte> Training::weight_bytes() const {
  std::vector<std::byte> result;
  for (std::size_t i = 0; i < parameters.size(); ++i)
    result.insert(result.end(), weights.bytes(i).begin(), weights.bytes(i).end());
  return result;
}

std::string difference(const std::vector<Values>& actual, const std::vector<Values>& expected,
                       double tolerance) {
  std::ostringstream text;
  text.precision(17);
  if (actual.size() != expected.size()) return "another number of tensors";
  for (std::size_t t = 0; t < actual.size(); ++t) {
    if (actual[t].size() != expected[t].size()) return "another number of elements";
    for (std::size_t i = 0; i < actual[t].size(); ++i) {
      const double limit = tolerance * std::fmax(1.0, std::fabs(expected[t][i]));
      if (std::fabs(actual[t][i] - expected[t][i]) <= limit) continue;
      text << "tensor " << t << ", element " << i << ": " << actual[t][i] << ", expected " << expected[t][i];
      return text.str();
    }
  }
  return {};
}

}  // namespace gradstab::testing
