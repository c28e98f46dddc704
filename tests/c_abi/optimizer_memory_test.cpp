// Where the numbers of a step lie in memory, and how many threads read them, changes no bit of it.
#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <vector>

#include "gradstab/optimizer.hpp"
#include "optimizer_support.hpp"

namespace gradstab::testing {
namespace {

TEST(COptimizerTest, AMeasurementIsTakenWhereTheMemoryIsTheSame) {
  // The gradient changes after it was measured, which the caller must not do: it shows that the norm is the
  // one that was measured.
  const OptimizerHandle optimizer = initialised_optimizer();
  gradstab_optimizer* const o = optimizer.get();
  Weights weights;
  Pair gradients;
  gradients.bias = {3, 4};
  gradients.tensors[1].data = gradients.bias.data();
  ASSERT_TRUE(accepted(gradstab_optimizer_measure_one(o, 1, &gradients.tensors[1]), o));
  gradients.bias[0] = 300;
  gradstab_step_report report = empty_report();
  ASSERT_TRUE(accepted(gradstab_optimizer_step(o, weights.tensors, gradients.tensors, 2, 1, &report), o));
  EXPECT_EQ(report.tensors[1].raw_norm, 5.0);
  ASSERT_TRUE(accepted(gradstab_optimizer_step(o, weights.tensors, gradients.tensors, 2, 2, &report), o));
  EXPECT_NEAR(report.tensors[1].raw_norm, 300.03, 0.01) << "measured again";
}

TEST(COptimizerTest, PointersAreContiguousTensorsOfTheRegisteredShape) {
  const OptimizerHandle by_pointer = initialised_optimizer();
  const OptimizerHandle by_tensor = initialised_optimizer();
  Weights pointed;
  Weights tensors;
  for (int step = 1; step <= 5; ++step) {
    Pair a;
    Pair b;
    if (step == 3) a.pointers[1] = b.tensors[1].data = nullptr;
    ASSERT_TRUE(accepted(gradstab_optimizer_step_pointers(by_pointer.get(), pointed.pointers, a.pointers, 2,
                                                          GRADSTAB_FLOAT32, GRADSTAB_FLOAT32, step, nullptr),
                         by_pointer.get()));
    ASSERT_TRUE(
        accepted(gradstab_optimizer_step(by_tensor.get(), tensors.tensors, b.tensors, 2, step, nullptr),
                 by_tensor.get()));
    EXPECT_TRUE(pointed == tensors);
  }
  EXPECT_FALSE(pointed == Weights());
  EXPECT_EQ(saved(by_pointer.get()), saved(by_tensor.get()));
}

TEST(COptimizerTest, StridedParametersAndGradientsGiveTheBitsOfDenseOnes) {
  const OptimizerHandle dense = initialised_optimizer();
  const OptimizerHandle strided = initialised_optimizer();
  Weights weights;
  Weights transposed;
  Pair gradients;
  // The parameter column by column; the gradient row by row with a gap.
  transposed.weight = {0.1f, 0.4f, 0.2f, 0.5f, 0.3f, 0.6f};
  const std::int64_t weight_strides[] = {1, 2};
  std::vector<float> wide = {1, 2, 3, -9, 4, 5, 6, -9};
  const std::int64_t gradient_strides[] = {4, 1};
  gradstab_tensor parameters[2] = {transposed.tensors[0], transposed.tensors[1]};
  parameters[0].data = transposed.weight.data();
  parameters[0].rank = 2;
  parameters[0].strides = weight_strides;
  gradstab_tensor gaps[2] = {gradients.tensors[0], gradients.tensors[1]};
  gaps[0].data = wide.data();
  gaps[0].rank = 2;
  gaps[0].strides = gradient_strides;
  for (int step = 1; step <= 3; ++step) {
    ASSERT_TRUE(
        accepted(gradstab_optimizer_step(dense.get(), weights.tensors, gradients.tensors, 2, step, nullptr),
                 dense.get()));
    ASSERT_TRUE(
        accepted(gradstab_optimizer_step(strided.get(), parameters, gaps, 2, step, nullptr), strided.get()));
  }
  const std::vector<float>& w = weights.weight;
  EXPECT_EQ(transposed.weight, (std::vector<float>{w[0], w[3], w[1], w[4], w[2], w[5]}));
  EXPECT_EQ(transposed.bias, weights.bias);
}

TEST(COptimizerTest, ResultsDoNotDependOnThreads) {
  const std::int64_t sizes[] = {700, 400};  // more than one block
  const gradstab_parameter parameter = {"w", 2, sizes};
  std::vector<std::vector<float>> results;
  for (const std::uint32_t threads : {0u, 3u}) {
    const OptimizerHandle optimizer = make_optimizer(AdamOptions::adamw(), make_stabilizer().release());
    gradstab_run_options run = {};
    run.struct_size = sizeof run;
    run.threads = threads;
    gradstab_optimizer_run_options options = optimizer_run_options();
    options.run = &run;
    ASSERT_TRUE(accepted(gradstab_optimizer_init(optimizer.get(), &parameter, 1, &options, nullptr, 0),
                         optimizer.get()));
    std::vector<float> weights(700 * 400, 0.5f);
    std::vector<float> gradient(700 * 400);
    for (std::size_t i = 0; i < gradient.size(); ++i) gradient[i] = static_cast<float>(i % 1013) * 1e-3f;
    void* const weight_data[] = {weights.data()};
    void* const gradient_data[] = {gradient.data()};
    for (int step = 1; step <= 2; ++step) {
      ASSERT_TRUE(
          accepted(gradstab_optimizer_step_pointers(optimizer.get(), weight_data, gradient_data, 1,
                                                    GRADSTAB_FLOAT32, GRADSTAB_FLOAT32, step, nullptr),
                   optimizer.get()));
    }
    results.push_back(weights);
  }
  EXPECT_EQ(results[0], results[1]);
  EXPECT_NE(results[0][1], 0.5f);
}

}  // namespace
}  // namespace gradstab::testing
