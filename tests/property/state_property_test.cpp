// Saved states: complete, keyed by name, and never half believed.
#include <algorithm>
#include <cmath>
#include <numeric>

#include "gradstab/transforms.hpp"
#include "property/generators.hpp"
#include "property/property.hpp"

namespace gradstab {
namespace {

using testing::Gradients;
using testing::Values;

const std::vector<std::vector<std::int64_t>> kSizes = {{4}, {2, 3}, {}, {9}};

GradientTransform make(int kind, const StabilizerOptions& options) {
  switch (kind) {
    case 0:
      return stabilize(options);
    case 1:
      return chain(clip_by_global_norm(2.0), stabilize(options));
    default:
      return chain(record_norms(), stabilize(options), clip_by_global_norm(1.0));
  }
}

std::vector<Parameter> parameter_list() {
  std::vector<Parameter> list;
  for (std::size_t i = 0; i < kSizes.size(); ++i)
    list.push_back({std::string(1, static_cast<char>('a' + i)), kSizes[i]});
  return list;
}

/// Gradients of one step, in the order of parameter_list; now and then a spike, a zero, a NaN or an absence.
struct StepValues {
  std::vector<Values> values;
  std::vector<bool> present;
};

std::vector<StepValues> random_steps(std::mt19937_64& random, std::size_t count) {
  std::vector<StepValues> steps(count);
  for (StepValues& step : steps) {
    for (const auto& sizes : kSizes) {
      const auto elements = static_cast<std::size_t>(element_count(sizes));
      double norm = 0.5 + static_cast<double>(random() % 100) / 50.0;
      const auto event = random() % 12;
      if (event == 0) norm *= 1e6;
      if (event == 1) norm = 0.0;
      if (event == 2) norm = 1e250;
      step.values.push_back(testing::vector_of_norm(random, elements, norm));
      if (event == 3) step.values.back()[0] = std::nan("");
      step.present.push_back(event != 4);
    }
  }
  return steps;
}

/// Runs one step with parameters in `order` and returns the outputs in the order of parameter_list.
std::vector<std::vector<std::byte>> run(GradientTransform& transform, const StepValues& step,
                                        const std::vector<std::size_t>& order) {
  Gradients gradients(transform.parameters(), DType::float64);
  for (std::size_t at = 0; at < order.size(); ++at) {
    gradients.set(at, step.values[order[at]]);
    if (!step.present[order[at]]) gradients.set_absent(at);
  }
  transform.update(gradients.refs()).status().check();
  std::vector<std::vector<std::byte>> outputs(order.size());
  for (std::size_t at = 0; at < order.size(); ++at) outputs[order[at]] = gradients.bytes(at);
  return outputs;
}

std::vector<std::size_t> in_order() {
  std::vector<std::size_t> order(kSizes.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  return order;
}

GRADSTAB_PROPERTY(StatePropertyTest, ARunResumedAtAnyStepMatchesTheUninterruptedOneBitForBit) {
  const StabilizerOptions options = *testing::options();
  const int kind = testing::any_of(3);
  const auto interruption = static_cast<std::size_t>(testing::any_of(20));
  std::mt19937_64 random = testing::random_engine();
  const auto steps = random_steps(random, 20);
  GradientTransform whole = make(kind, options);
  GradientTransform before = make(kind, options);
  GradientTransform after = make(kind, options);
  const ParameterSet parameters = testing::parameter_set(parameter_list());
  for (GradientTransform* transform : {&whole, &before, &after}) RC_ASSERT(transform->init(parameters).ok());
  for (std::size_t t = 0; t < steps.size(); ++t) {
    if (t == interruption) RC_ASSERT(after.load(before.save().value()).ok());
    GradientTransform& resumed = t < interruption ? before : after;
    RC_ASSERT(run(whole, steps[t], in_order()) == run(resumed, steps[t], in_order()));
  }
  RC_ASSERT(whole.save().value() == after.save().value());
}

GRADSTAB_PROPERTY(StatePropertyTest, ReorderedParametersLoadByName) {
  // Per-tensor methods only: a global norm is a sum in the parameters' order, and rounds accordingly.
  const StabilizerOptions options = *testing::options();
  std::mt19937_64 random = testing::random_engine();
  const auto steps = random_steps(random, 20);
  std::vector<std::size_t> order = in_order();
  std::shuffle(order.begin(), order.end(), random);
  std::vector<Parameter> shuffled;
  for (const std::size_t original : order) shuffled.push_back(parameter_list()[original]);

  GradientTransform source = stabilize(options);
  GradientTransform target = stabilize(options);
  RC_ASSERT(source.init(testing::parameter_set(parameter_list())).ok());
  RC_ASSERT(target.init(testing::parameter_set(shuffled)).ok());
  for (std::size_t t = 0; t < 10; ++t) run(source, steps[t], in_order());
  RC_ASSERT(target.load(source.save().value()).ok());
  for (std::size_t t = 10; t < 20; ++t) {
    RC_ASSERT(run(source, steps[t], in_order()) == run(target, steps[t], order));
  }
}

/// Damages a state and requires that loading it is an error after which nothing is different.
template <class Damage>
void expect_refused(Damage damage) {
  const StabilizerOptions options = *testing::options();
  const int kind = testing::any_of(3);
  std::mt19937_64 random = testing::random_engine();
  const auto steps = random_steps(random, 12);
  const ParameterSet parameters = testing::parameter_set(parameter_list());
  GradientTransform source = make(kind, options);
  GradientTransform target = make(kind, options);
  GradientTransform twin = make(kind, options);
  for (GradientTransform* transform : {&source, &target, &twin}) RC_ASSERT(transform->init(parameters).ok());
  for (std::size_t t = 0; t < 3; ++t) {
    run(source, steps[t], in_order());
    run(target, steps[t + 3], in_order());
    run(twin, steps[t + 3], in_order());
  }
  const auto state = source.save().value();
  for (int trial = 0; trial < 30; ++trial) RC_ASSERT(!target.load(damage(state, random)).ok());
  for (std::size_t t = 6; t < 12; ++t) {
    RC_ASSERT(run(target, steps[t], in_order()) == run(twin, steps[t], in_order()));
  }
  RC_ASSERT(target.save().value() == twin.save().value());
}

GRADSTAB_PROPERTY(StatePropertyTest, ATruncatedStateIsAnErrorAndChangesNothing) {
  expect_refused([](std::vector<std::byte> state, std::mt19937_64& random) {
    state.resize(random() % state.size());
    return state;
  });
}

GRADSTAB_PROPERTY(StatePropertyTest, AnySingleFlippedBitIsAnErrorAndChangesNothing) {
  expect_refused([](std::vector<std::byte> state, std::mt19937_64& random) {
    const std::size_t bit = random() % (8 * state.size());
    state[bit / 8] ^= std::byte{1} << (bit % 8);
    return state;
  });
}

GRADSTAB_PROPERTY(StatePropertyTest, BytesThatAreNoStateAreAnErrorAndChangeNothing) {
  expect_refused([](std::vector<std::byte> state, std::mt19937_64& random) {
    for (std::byte& byte : state) byte = static_cast<std::byte>(random());
    return state;
  });
}

}  // namespace
}  // namespace gradstab
