// Optimizers before and at their init: parameters, run options, and calls that come too early.
#include <gtest/gtest.h>

#include "optimizer_support.hpp"

namespace gradstab::testing {
namespace {

TEST(COptimizerInitTest, RefusesRunOptionsThatCannotBe) {
  const OptimizerHandle optimizer = initialised_optimizer();
  gradstab_optimizer* const o = optimizer.get();
  const auto expect = [o](const gradstab_optimizer_run_options& options, const std::string& message) {
    EXPECT_TRUE(refused(gradstab_optimizer_init(o, kParameters, 2, &options, nullptr, 0),
                        GRADSTAB_INVALID_ARGUMENT, o, message));
    EXPECT_EQ(gradstab_optimizer_can_step_one(o), GRADSTAB_FAILED_PRECONDITION);
  };
  gradstab_optimizer_run_options options = optimizer_run_options();
  options.struct_size = 1;
  expect(options,
         "struct_size of gradstab_optimizer_run_options is 1, expected "
         "sizeof(gradstab_optimizer_run_options) = " +
             std::to_string(sizeof options));
  for (const gradstab_low_precision unknown : {-1, 2, 256}) {
    options = optimizer_run_options();
    options.low_precision = unknown;
    expect(options, "low_precision must be master copy (0) or stochastic rounding (1), got " +
                        std::to_string(unknown));
  }
  options = optimizer_run_options();
  options.reserved = 3;
  expect(options, "gradstab_optimizer_run_options.reserved must be 0, got 3; was the struct set to 0 first?");
  gradstab_run_options run = {};
  run.struct_size = sizeof run;
  run.nonfinite = 4;
  options = optimizer_run_options();
  options.run = &run;
  expect(options, "nonfinite must be skip tensor (0), skip step (1), raise (2) or pass through (3), got 4");
}

TEST(COptimizerInitTest, RefusesParametersThatCannotBe) {
  const OptimizerHandle optimizer = make_optimizer(AdamMiniOptions{});
  gradstab_optimizer* const o = optimizer.get();
  const auto expect = [o](const gradstab_parameter& parameter, const std::string& message) {
    EXPECT_TRUE(refused(gradstab_optimizer_init(o, &parameter, 1, nullptr, nullptr, 0),
                        GRADSTAB_INVALID_ARGUMENT, o, message));
  };
  const std::int64_t sizes[] = {4, 4};
  expect({nullptr, 2, sizes}, "name of parameter 0 is NULL, expected a text");
  expect({"w", 2, nullptr}, "sizes of parameter 'w' is NULL, expected an array of 2");
  expect({"w", 65, sizes}, "parameter 'w' has rank 65, expected at most 64");
  expect({"q_proj", 2, sizes}, "adam_mini needs dim and n_heads above 0 for 'q_proj', got 0 and 0");
  // Whose square is no int64_t.
  gradstab_adam_mini_options huge = adam_mini_options();
  huge.dim = INT64_MAX;
  huge.n_heads = 1;
  ASSERT_TRUE(accepted(gradstab_optimizer_set_options(o, 0, &huge.base), o));
  const gradstab_parameter query = {"q_proj", 2, sizes};
  EXPECT_EQ(gradstab_optimizer_init(o, &query, 1, nullptr, nullptr, 0), GRADSTAB_INVALID_ARGUMENT);
  EXPECT_NE(std::string(gradstab_optimizer_last_error(o)).find("9223372036854775807"), std::string::npos);
  EXPECT_TRUE(refused(gradstab_optimizer_init(o, nullptr, 1, nullptr, nullptr, 0), GRADSTAB_INVALID_ARGUMENT,
                      o, "parameters is NULL, expected an array of 1"));
}

TEST(COptimizerInitTest, RegistersNamesInOrderAndNamesItsBackend) {
  const OptimizerHandle optimizer = make_optimizer(LionOptions{});
  gradstab_optimizer* const o = optimizer.get();
  gradstab_run_options run = {};
  run.struct_size = sizeof run;
  run.backend = "reference";
  gradstab_optimizer_run_options options = optimizer_run_options();
  options.run = &run;
  ASSERT_TRUE(accepted(gradstab_optimizer_init(o, kParameters, 2, &options, nullptr, 0), o));
  std::size_t count = 0;
  const char* name = nullptr;
  EXPECT_TRUE(accepted(gradstab_optimizer_parameter_count(o, &count), o));
  EXPECT_EQ(count, 2u);
  EXPECT_TRUE(accepted(gradstab_optimizer_parameter_name(o, 1, &name), o));
  EXPECT_STREQ(name, "bias");
  EXPECT_TRUE(refused(gradstab_optimizer_parameter_name(o, 2, &name), GRADSTAB_INVALID_ARGUMENT, o,
                      "there is no parameter 2; 2 are registered"));
  EXPECT_EQ(name, nullptr);
  EXPECT_TRUE(accepted(gradstab_optimizer_backend_in_use(o, &name), o));
  EXPECT_STREQ(name, "reference");
}

/// Every function that takes an optimizer, given none.
TEST(COptimizerErrorTest, AMissingOptimizerIsNamedByEveryFunction) {
  const char* name = nullptr;
  void* bytes = nullptr;
  std::size_t number = 0;
  double lr = 0;
  const Pair gradients;
  const Weights weights;
  const gradstab_adam_options adam = adam_options();
  const gradstab_status all[] = {
      gradstab_optimizer_name(nullptr, &name),
      gradstab_optimizer_init(nullptr, kParameters, 2, nullptr, nullptr, 0),
      gradstab_optimizer_rebind(nullptr, kParameters, 2, nullptr, 0),
      gradstab_optimizer_parameter_count(nullptr, &number),
      gradstab_optimizer_parameter_name(nullptr, 0, &name),
      gradstab_optimizer_backend_in_use(nullptr, &name),
      gradstab_optimizer_group_count(nullptr, &number),
      gradstab_optimizer_lr(nullptr, 0, &lr),
      gradstab_optimizer_set_lr(nullptr, 0.1),
      gradstab_optimizer_set_group_lr(nullptr, 0, 0.1),
      gradstab_optimizer_set_options(nullptr, 0, &adam.base),
      gradstab_optimizer_step(nullptr, weights.tensors, gradients.tensors, 2, 1, nullptr),
      gradstab_optimizer_step_pointers(nullptr, weights.pointers, gradients.pointers, 2, 0, 0, 1, nullptr),
      gradstab_optimizer_can_step_one(nullptr),
      gradstab_optimizer_step_one(nullptr, 0, weights.tensors, gradients.tensors, nullptr),
      gradstab_optimizer_measure_one(nullptr, 0, gradients.tensors),
      gradstab_optimizer_nonfinite_tensors(nullptr, nullptr, 0, &number),
      gradstab_optimizer_save(nullptr, &bytes, &number),
      gradstab_optimizer_load(nullptr, "x", 1),
      gradstab_optimizer_save_file(nullptr, "x"),
      gradstab_optimizer_load_file(nullptr, "x"),
  };
  for (const gradstab_status status : all)
    EXPECT_TRUE(
        refused(status, GRADSTAB_INVALID_ARGUMENT, nullptr, "optimizer is NULL, expected an optimizer"));
  EXPECT_STREQ(gradstab_last_error(nullptr), "optimizer is NULL, expected an optimizer");
  gradstab_optimizer_destroy(nullptr);
}

/// Every function that needs gradstab_optimizer_init before it.
TEST(COptimizerErrorTest, AMissingInitIsNamedByEveryFunction) {
  const OptimizerHandle optimizer = make_optimizer(AdamOptions{});
  gradstab_optimizer* const o = optimizer.get();
  const char* name = nullptr;
  void* bytes = nullptr;
  std::size_t number = 0;
  const Pair gradients;
  const Weights weights;
  const auto expect = [o](gradstab_status status, const std::string& function) {
    EXPECT_TRUE(refused(status, GRADSTAB_FAILED_PRECONDITION, o,
                        function + " was called before a successful gradstab_optimizer_init"));
  };
  expect(gradstab_optimizer_rebind(o, kParameters, 2, nullptr, 0), "gradstab_optimizer_rebind");
  expect(gradstab_optimizer_parameter_count(o, &number), "gradstab_optimizer_parameter_count");
  expect(gradstab_optimizer_parameter_name(o, 0, &name), "gradstab_optimizer_parameter_name");
  expect(gradstab_optimizer_backend_in_use(o, &name), "gradstab_optimizer_backend_in_use");
  expect(gradstab_optimizer_step(o, weights.tensors, gradients.tensors, 2, 1, nullptr),
         "gradstab_optimizer_step");
  expect(gradstab_optimizer_step_pointers(o, weights.pointers, gradients.pointers, 2, 0, 0, 1, nullptr),
         "gradstab_optimizer_step_pointers");
  expect(gradstab_optimizer_can_step_one(o), "gradstab_optimizer_can_step_one");
  expect(gradstab_optimizer_step_one(o, 0, weights.tensors, gradients.tensors, nullptr),
         "gradstab_optimizer_step_one");
  expect(gradstab_optimizer_measure_one(o, 0, gradients.tensors), "gradstab_optimizer_measure_one");
  expect(gradstab_optimizer_nonfinite_tensors(o, nullptr, 0, &number),
         "gradstab_optimizer_nonfinite_tensors");
  expect(gradstab_optimizer_save(o, &bytes, &number), "gradstab_optimizer_save");
  expect(gradstab_optimizer_load(o, "x", 1), "gradstab_optimizer_load");
  expect(gradstab_optimizer_save_file(o, "x"), "gradstab_optimizer_save_file");
  expect(gradstab_optimizer_load_file(o, "x"), "gradstab_optimizer_load_file");
}

}  // namespace
}  // namespace gradstab::testing
