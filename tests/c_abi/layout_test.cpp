// Sizes and offsets of the structs of the C interface, as compiled programs know them.
#include <gtest/gtest.h>

#include <cstddef>

#include "gradstab/gradstab.h"
#include "gradstab/optimizer.h"
#include "gradstab/recorder.h"

namespace gradstab::testing {
namespace {

// Programs that were compiled before must go on working: a change here needs a new GRADSTAB_ABI_VERSION,
// unless a struct that begins with struct_size grew at its end.

#if defined(__LP64__)
TEST(CLayoutTest, OfTransformsIsThatOfAbiVersion1) {
  static_assert(GRADSTAB_ABI_VERSION == 1);
  EXPECT_EQ(sizeof(gradstab_stabilizer_options), 56u);
  EXPECT_EQ(offsetof(gradstab_stabilizer_options, gamma1), 8u);
  EXPECT_EQ(offsetof(gradstab_stabilizer_options, gamma2), 16u);
  EXPECT_EQ(offsetof(gradstab_stabilizer_options, epsilon), 24u);
  EXPECT_EQ(offsetof(gradstab_stabilizer_options, spike_ratio), 32u);
  EXPECT_EQ(offsetof(gradstab_stabilizer_options, robust_kappa), 40u);
  EXPECT_EQ(offsetof(gradstab_stabilizer_options, bias_correction), 48u);
  EXPECT_EQ(sizeof(gradstab_unit_group), 24u);
  EXPECT_EQ(offsetof(gradstab_unit_group, patterns), 8u);
  EXPECT_EQ(offsetof(gradstab_unit_group, pattern_count), 16u);
  EXPECT_EQ(sizeof(gradstab_units), 32u);
  EXPECT_EQ(offsetof(gradstab_units, granularity), 8u);
  EXPECT_EQ(offsetof(gradstab_units, groups), 16u);
  EXPECT_EQ(offsetof(gradstab_units, group_count), 24u);
  EXPECT_EQ(sizeof(gradstab_setting), 24u);
  EXPECT_EQ(offsetof(gradstab_setting, number), 8u);
  EXPECT_EQ(offsetof(gradstab_setting, text), 16u);
  EXPECT_EQ(sizeof(gradstab_setting_description), 40u);
  EXPECT_EQ(offsetof(gradstab_setting_description, name), 8u);
  EXPECT_EQ(offsetof(gradstab_setting_description, help), 16u);
  EXPECT_EQ(offsetof(gradstab_setting_description, default_text), 24u);
  EXPECT_EQ(offsetof(gradstab_setting_description, range), 32u);
  EXPECT_EQ(sizeof(gradstab_parameter), 24u);
  EXPECT_EQ(offsetof(gradstab_parameter, rank), 8u);
  EXPECT_EQ(offsetof(gradstab_parameter, sizes), 16u);
  EXPECT_EQ(sizeof(gradstab_run_options), 48u);
  EXPECT_EQ(offsetof(gradstab_run_options, nonfinite), 8u);
  EXPECT_EQ(offsetof(gradstab_run_options, threads), 12u);
  EXPECT_EQ(offsetof(gradstab_run_options, backend), 16u);
  EXPECT_EQ(offsetof(gradstab_run_options, run), 24u);
  EXPECT_EQ(offsetof(gradstab_run_options, user), 32u);
  EXPECT_EQ(offsetof(gradstab_run_options, concurrency), 40u);
  EXPECT_EQ(sizeof(gradstab_tensor), 48u);
  EXPECT_EQ(offsetof(gradstab_tensor, dtype), 8u);
  EXPECT_EQ(offsetof(gradstab_tensor, device), 12u);
  EXPECT_EQ(offsetof(gradstab_tensor, rank), 16u);
  EXPECT_EQ(offsetof(gradstab_tensor, sizes), 24u);
  EXPECT_EQ(offsetof(gradstab_tensor, strides), 32u);
  EXPECT_EQ(offsetof(gradstab_tensor, sparse_values), 40u);
  EXPECT_EQ(sizeof(gradstab_tensor_report), 32u);
  EXPECT_EQ(offsetof(gradstab_tensor_report, norm), 8u);
  EXPECT_EQ(offsetof(gradstab_tensor_report, factor), 16u);
  EXPECT_EQ(offsetof(gradstab_tensor_report, present), 24u);
  EXPECT_EQ(offsetof(gradstab_tensor_report, finite), 25u);
  EXPECT_EQ(offsetof(gradstab_tensor_report, spike), 26u);
  EXPECT_EQ(offsetof(gradstab_tensor_report, zeroed), 27u);
  EXPECT_EQ(sizeof(gradstab_step_report), 96u);
  EXPECT_EQ(offsetof(gradstab_step_report, step), 8u);
  EXPECT_EQ(offsetof(gradstab_step_report, raw_global_norm), 16u);
  EXPECT_EQ(offsetof(gradstab_step_report, global_norm), 24u);
  EXPECT_EQ(offsetof(gradstab_step_report, spikes), 32u);
  EXPECT_EQ(offsetof(gradstab_step_report, nonfinite), 40u);
  EXPECT_EQ(offsetof(gradstab_step_report, skip_step), 48u);
  EXPECT_EQ(offsetof(gradstab_step_report, tensor_count), 56u);
  EXPECT_EQ(offsetof(gradstab_step_report, tensors), 64u);
  EXPECT_EQ(offsetof(gradstab_step_report, row_count), 72u);
  EXPECT_EQ(offsetof(gradstab_step_report, rows), 80u);
  EXPECT_EQ(offsetof(gradstab_step_report, first_row), 88u);
}

TEST(CLayoutTest, OfRecordersIsThatOfAbiVersion1) {
  static_assert(GRADSTAB_ABI_VERSION == 1);
  EXPECT_EQ(sizeof(gradstab_recording_fact), 16u);
  EXPECT_EQ(offsetof(gradstab_recording_fact, value), 8u);
  EXPECT_EQ(sizeof(gradstab_recorder_options), 40u);
  EXPECT_EQ(offsetof(gradstab_recorder_options, every), 8u);
  EXPECT_EQ(offsetof(gradstab_recorder_options, facts), 16u);
  EXPECT_EQ(offsetof(gradstab_recorder_options, fact_count), 24u);
  EXPECT_EQ(offsetof(gradstab_recorder_options, run), 32u);
}

TEST(CLayoutTest, OfOptimizersIsThatOfAbiVersion1) {
  static_assert(GRADSTAB_ABI_VERSION == 1);
  EXPECT_EQ(sizeof(gradstab_optimizer_options), 16u);
  EXPECT_EQ(offsetof(gradstab_optimizer_options, kind), 8u);
  EXPECT_EQ(sizeof(gradstab_sgd_options), 56u);
  EXPECT_EQ(offsetof(gradstab_sgd_options, lr), 16u);
  EXPECT_EQ(offsetof(gradstab_sgd_options, momentum), 24u);
  EXPECT_EQ(offsetof(gradstab_sgd_options, dampening), 32u);
  EXPECT_EQ(offsetof(gradstab_sgd_options, weight_decay), 40u);
  EXPECT_EQ(offsetof(gradstab_sgd_options, nesterov), 48u);
  EXPECT_EQ(sizeof(gradstab_adam_options), 80u);
  EXPECT_EQ(offsetof(gradstab_adam_options, beta1), 24u);
  EXPECT_EQ(offsetof(gradstab_adam_options, beta2), 32u);
  EXPECT_EQ(offsetof(gradstab_adam_options, epsilon), 40u);
  EXPECT_EQ(offsetof(gradstab_adam_options, weight_decay), 48u);
  EXPECT_EQ(offsetof(gradstab_adam_options, decoupled), 56u);
  EXPECT_EQ(offsetof(gradstab_adam_options, amsgrad), 60u);
  EXPECT_EQ(offsetof(gradstab_adam_options, reset_interval), 64u);
  EXPECT_EQ(offsetof(gradstab_adam_options, compat), 72u);
  EXPECT_EQ(sizeof(gradstab_lion_options), 56u);
  EXPECT_EQ(offsetof(gradstab_lion_options, beta2), 32u);
  EXPECT_EQ(offsetof(gradstab_lion_options, weight_decay), 40u);
  EXPECT_EQ(offsetof(gradstab_lion_options, decay_over_lr), 48u);
  EXPECT_EQ(sizeof(gradstab_adam_mini_override), 16u);
  EXPECT_EQ(offsetof(gradstab_adam_mini_override, unit), 8u);
  EXPECT_EQ(sizeof(gradstab_adam_mini_options), 88u);
  EXPECT_EQ(offsetof(gradstab_adam_mini_options, weight_decay), 48u);
  EXPECT_EQ(offsetof(gradstab_adam_mini_options, dim), 56u);
  EXPECT_EQ(offsetof(gradstab_adam_mini_options, n_heads), 64u);
  EXPECT_EQ(offsetof(gradstab_adam_mini_options, overrides), 72u);
  EXPECT_EQ(offsetof(gradstab_adam_mini_options, override_count), 80u);
  EXPECT_EQ(sizeof(gradstab_spam_options), 88u);
  EXPECT_EQ(offsetof(gradstab_spam_options, threshold), 56u);
  EXPECT_EQ(offsetof(gradstab_spam_options, reset_interval), 64u);
  EXPECT_EQ(offsetof(gradstab_spam_options, warmup_steps), 72u);
  EXPECT_EQ(offsetof(gradstab_spam_options, quiet_steps), 80u);
  EXPECT_EQ(sizeof(gradstab_optimizer_run_options), 32u);
  EXPECT_EQ(offsetof(gradstab_optimizer_run_options, run), 8u);
  EXPECT_EQ(offsetof(gradstab_optimizer_run_options, low_precision), 16u);
  EXPECT_EQ(offsetof(gradstab_optimizer_run_options, seed), 24u);
  EXPECT_EQ(sizeof(gradstab_optimizer_group), 24u);
  EXPECT_EQ(offsetof(gradstab_optimizer_group, parameters), 8u);
  EXPECT_EQ(offsetof(gradstab_optimizer_group, parameter_count), 16u);
}
#endif

}  // namespace
}  // namespace gradstab::testing
