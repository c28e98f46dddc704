// Optimizers whose parameters change.
#include <gtest/gtest.h>

#include "optimizer_support.hpp"

namespace gradstab::testing {
namespace {

TEST(COptimizerRebindTest, KeepsWhatStaysAndStartsTheRestFresh) {
  const OptimizerHandle optimizer = initialised_optimizer();
  const OptimizerHandle same = initialised_optimizer();
  gradstab_optimizer* const o = optimizer.get();
  Weights weights;
  Weights of_same;
  train(o, weights, 4);
  train(same.get(), of_same, 5);
  const std::int64_t two[] = {2};
  const gradstab_parameter more[] = {{"new", 1, two}, kParameters[0], kParameters[1]};
  ASSERT_TRUE(accepted(gradstab_optimizer_set_lr(o, 0.001), o));
  ASSERT_TRUE(accepted(gradstab_optimizer_rebind(o, more, 3, nullptr, 0), o));
  Pair gradients;
  float fresh[] = {1, 2};
  float fresh_gradient[] = {30, 40};
  void* const parameters[] = {fresh, weights.weight.data(), weights.bias.data()};
  void* const data[] = {fresh_gradient, gradients.weight.data(), gradients.bias.data()};
  gradstab_step_report report = empty_report();
  ASSERT_TRUE(accepted(gradstab_optimizer_step_pointers(o, parameters, data, 3, GRADSTAB_FLOAT32,
                                                        GRADSTAB_FLOAT32, 9, &report),
                       o));
  EXPECT_EQ(report.tensor_count, 3u);
  EXPECT_EQ(report.tensors[0].raw_norm, 50.0);
  EXPECT_TRUE(weights == of_same);
  ASSERT_TRUE(accepted(gradstab_optimizer_rebind(o, kParameters, 2, nullptr, 0), o));
  EXPECT_EQ(saved(o), saved(same.get()));
}

TEST(COptimizerRebindTest, AnErrorLeavesParametersSettingsAndState) {
  const OptimizerHandle optimizer = initialised_optimizer();
  gradstab_optimizer* const o = optimizer.get();
  Weights weights;
  train(o, weights, 3);
  const auto before = saved(o);
  const gradstab_parameter changed[] = {kParameters[0], {"bias", 2, kParameters[0].sizes}};
  EXPECT_TRUE(refused(gradstab_optimizer_rebind(o, changed, 2, nullptr, 0), GRADSTAB_SHAPE_MISMATCH, o,
                      "parameter 'bias' has shape [2, 3] here but [2] in the saved state"));
  EXPECT_TRUE(refused(gradstab_optimizer_rebind(o, nullptr, 1, nullptr, 0), GRADSTAB_INVALID_ARGUMENT, o,
                      "parameters is NULL, expected an array of 1"));
  gradstab_adam_options amsgrad = adam_options();
  amsgrad.amsgrad = 1;
  const std::size_t both[] = {0, 1};
  const gradstab_optimizer_group group = {&amsgrad.base, both, 2};
  EXPECT_TRUE(refused(gradstab_optimizer_rebind(o, kParameters, 2, &group, 1), GRADSTAB_INVALID_ARGUMENT, o,
                      "'weight' changes its kind of state with the new groups"));
  EXPECT_EQ(saved(o), before);
  train(o, weights, 1);
}

}  // namespace
}  // namespace gradstab::testing
