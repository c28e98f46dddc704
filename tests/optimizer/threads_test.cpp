// Results do not depend on who runs the tasks.
#include <gtest/gtest.h>

#include <limits>

#include "gradstab/backend.hpp"
#include "gradstab/transforms.hpp"
#include "optimizer/kinds.hpp"
#include "optimizer/training.hpp"

namespace gradstab::testing {
namespace {

class OptimizerThreadsTest : public ::testing::TestWithParam<Kind> {};

TEST_P(OptimizerThreadsTest, OneTwoAndThreeThreadsGiveTheSameBits) {
  // Several batches, one tensor of several blocks, rows that are smaller than a block, heads of two blocks.
  const ParameterSet parameters = parameter_set({{"embed", {700, 400}},
                                                 {"q_proj", {512, 512}},
                                                 {"bias", {70000}},
                                                 {"gain", {300, 500}},
                                                 {"small.bias", {7}},
                                                 {"mlp", {10, 20}}});
  OptimizerOptions options = GetParam().options;
  if (auto* mini = std::get_if<AdamMiniOptions>(&options)) {
    mini->dim = 512;
    mini->n_heads = 4;
  }
  const auto run = [&](unsigned threads, bool all_at_once) {
    OptimizerRunOptions how;
    if (threads > 1) how.run.executor = thread_pool(threads).value();
    GradientTransform front = all_at_once ? chain(clip_by_global_norm(1.0), stabilize()) : stabilize();
    Training training(parameters, DType::float32, options, std::move(front), how);
    std::mt19937_64 random(3);
    std::vector<Values> gradients = random_gradients(random, parameters);
    for (int step = 0; step < 3; ++step) {
      for (Values& values : gradients)
        for (double& value : values) value *= -1.1;
      if (step == 1) gradients[2][69999] = std::numeric_limits<double>::infinity();
      training.step(gradients);
      if (step == 1) gradients[2][69999] = 1.0;
    }
    return std::pair(training.weight_bytes(), training.optimizer.save().value());
  };
  for (const bool all_at_once : {false, true}) {
    const auto alone = run(1, all_at_once);
    EXPECT_TRUE(run(2, all_at_once) == alone);
    EXPECT_TRUE(run(3, all_at_once) == alone);
  }
}

INSTANTIATE_TEST_SUITE_P(All, OptimizerThreadsTest, ::testing::ValuesIn(all_kinds()),
                         [](const auto& test) { return test.param.name; });

}  // namespace
}  // namespace gradstab::testing
