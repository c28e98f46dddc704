// After the first step of each parameter, steps allocate nothing.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "core/base/state_codec.hpp"
#include "gradstab/backend.hpp"
#include "gradstab/transforms.hpp"
#include "optimizer/kinds.hpp"
#include "optimizer/training.hpp"
#include "support/replaced_new.hpp"

namespace gradstab::testing {
namespace {

const std::vector<std::int64_t> kTransposed = {1, 300};

/// A training over several blocks, among them a gradient that has to be gathered and one with a NaN.
struct Steps {
  Steps(const OptimizerOptions& options, std::optional<GradientTransform> transform, DType dtype,
        OptimizerRunOptions run = {})
      : training(
            parameter_set({{"embed", {300, 400}}, {"b.bias", {64}}, {"gain", {}}, {"c.bias", {300, 300}}}),
            dtype, options, std::move(transform), std::move(run)) {
    std::mt19937_64 random(1);
    training.gradients.set_all(random_gradients(random, training.parameters));
    training.gradients.set(2, Values{std::nan("")});
    training.gradients.mutable_refs()[3].strides = kTransposed;
  }
  void all() {
    failures += training.optimizer.step(training.weights.refs(), training.gradients.refs()).ok() ? 0 : 1;
  }
  void one_by_one() {
    for (std::size_t i = 0; i < training.parameters.size(); ++i)
      failures +=
          training.optimizer.step_one(i, training.weights.refs()[i], training.gradients.refs()[i]).ok() ? 0
                                                                                                        : 1;
  }
  void measured() {
    for (std::size_t i = 0; i < training.parameters.size(); ++i)
      failures += training.optimizer.measure_one(i, training.gradients.refs()[i]).ok() ? 0 : 1;
    all();
  }
  std::size_t allocations_of(void (Steps::*step)()) {
    (this->*step)();  // sets up what is set up once
    const std::size_t before = allocations();
    for (int i = 0; i < 5; ++i) (this->*step)();
    const std::size_t made = allocations() - before;
    EXPECT_EQ(failures, 0u);
    return made;
  }

  Training training;
  std::size_t failures = 0;
};

TEST(OptimizerAllocationTest, TheCounterCounts) {
  const std::size_t before = allocations();
  int* volatile seen = new int(1);  // or the compiler may leave out both calls
  delete seen;
  EXPECT_EQ(allocations(), before + 1);
}

TEST(OptimizerAllocationTest, StepsOverAllAllocateNothing) {
  for (const Kind& kind : all_kinds()) {
    SCOPED_TRACE(kind.name);
    for (const DType dtype : {DType::float32, DType::float64, DType::bfloat16})
      EXPECT_EQ(Steps(kind.options, stabilize(), dtype).allocations_of(&Steps::all), 0u);
    EXPECT_EQ(Steps(kind.options, chain(adaptive_value_clip(), clip_by_value(0.5), zclip(), adagc()),
                    DType::float32)
                  .allocations_of(&Steps::all),
              0u);
    EXPECT_EQ(Steps(kind.options, chain(clip_by_global_norm(1.0), stabilize()), DType::float32)
                  .allocations_of(&Steps::all),
              0u);
  }
}

TEST(OptimizerAllocationTest, SkippedStepsAndThreadsAllocateNothing) {
  const Kind adam{"adamw", AdamOptions::adamw()};
  EXPECT_EQ(Steps(adam.options, stabilize(), DType::float32, {.run = {.executor = thread_pool(3).value()}})
                .allocations_of(&Steps::all),
            0u);
  Steps skipped(adam.options, stabilize(), DType::float32,
                {.run = {.nonfinite = NonFinitePolicy::skip_step}});
  skipped.training.gradients.set(2, Values{1.0});
  skipped.all();
  skipped.training.gradients.set(2, Values{std::nan("")});
  EXPECT_EQ(skipped.allocations_of(&Steps::all), 0u);
}

TEST(OptimizerAllocationTest, SingleStepsAndMeasuringAheadAllocateNothing) {
  for (const Kind& kind : all_kinds()) {
    SCOPED_TRACE(kind.name);
    if (steps_one_by_one(kind.options)) {
      EXPECT_EQ(Steps(kind.options, stabilize(), DType::float32).allocations_of(&Steps::one_by_one), 0u);
    }
    EXPECT_EQ(Steps(kind.options, stabilize(), DType::float32).allocations_of(&Steps::measured), 0u);
  }
}

TEST(OptimizerAllocationTest, AParameterAllocatesItsStateInItsOwnFirstStep) {
  Steps steps(AdamOptions{}, stabilize(), DType::float32);
  void* const data = steps.training.gradients.refs()[1].data;
  steps.training.gradients.set_absent(1);
  steps.all();
  EXPECT_EQ(steps.training.optimizer.parameter_state(1)->values.size(), 0u);
  steps.training.gradients.mutable_refs()[1].data = data;
  EXPECT_EQ(steps.allocations_of(&Steps::all), 0u);
  EXPECT_EQ(steps.training.optimizer.parameter_state(1)->values.size(), 2u);
}

/// A length that a damaged file claims must be compared with what there is before anything is allocated.
TEST(OptimizerAllocationTest, AbsurdLengthsInAStateAskForNoMemory) {
  for (const char* name : {"adamw", "adam_mini", "spam"}) {
    const ParameterSet parameters = parameter_set({{"embed", {2, 3}}, {"b.bias", {2}}});
    Training run(parameters, DType::float32, kind(name),
                 chain(record_norms(10.0, Units::by_name({{"all", {"*"}}})), stabilize()));
    std::mt19937_64 random(1);
    run.step(random_gradients(random, parameters));
    const std::vector<std::byte> state = run.optimizer.save().value();
    const std::vector<std::byte> payload(state.begin() + 24, state.end());
    std::size_t refused = 0;
    for (std::size_t at = 0; at + 8 <= payload.size(); ++at) {
      for (const std::size_t width : {4, 8}) {
        for (const unsigned value : {0xFFu, 0x3Fu}) {
          std::vector<std::byte> absurd = payload;
          std::fill_n(absurd.begin() + static_cast<std::ptrdiff_t>(at), width, std::byte(value));
          const std::vector<std::byte> wrapped = wrap_state(absurd);
          forget_largest_allocation();
          refused += run.optimizer.load(wrapped).ok() ? 0 : 1;
          ASSERT_LE(largest_allocation(), 4 * state.size() + 4096) << "at " << at;
        }
      }
    }
    EXPECT_GT(refused, payload.size());
  }
}

}  // namespace
}  // namespace gradstab::testing
