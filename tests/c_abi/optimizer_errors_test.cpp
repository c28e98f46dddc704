// What an optimizer's step refuses, what it says, and that it then changes nothing.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>

#include "optimizer_support.hpp"

namespace gradstab::testing {
namespace {

constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

class COptimizerStepErrorsTest : public ::testing::Test {
 protected:
  void SetUp() override { train(o_, weights_, 1); }

  /// Steps and expects this error: parameters, gradients and state as they were, an empty report. The same of
  /// a step of parameter `one` alone, unless that is none.
  void expect_refused(gradstab_status status, const std::string& message, std::size_t one = 2,
                      std::size_t count = 2, std::int64_t step = GRADSTAB_NO_STEP) {
    const auto state = saved(o_);
    const auto weight = weights_.weight;
    const auto bias = weights_.bias;
    const auto gradient = gradients_.weight;
    gradstab_step_report report = empty_report();
    report.tensor_count = 99;
    EXPECT_TRUE(
        refused(gradstab_optimizer_step(o_, weights_.tensors, gradients_.tensors, count, step, &report),
                status, o_, message));
    EXPECT_EQ(report.tensor_count, 0u);
    EXPECT_EQ(report.tensors, nullptr);
    if (one < 2) {
      gradstab_tensor_report of_one;
      std::memset(&of_one, 0xFF, sizeof of_one);
      EXPECT_TRUE(refused(
          gradstab_optimizer_step_one(o_, one, &weights_.tensors[one], &gradients_.tensors[one], &of_one),
          status, o_, message));
      EXPECT_EQ(of_one.present, 0);
      EXPECT_EQ(of_one.raw_norm, 0.0);
    }
    EXPECT_EQ(weights_.weight, weight);
    EXPECT_EQ(weights_.bias, bias);
    EXPECT_EQ(gradients_.weight, gradient);
    EXPECT_EQ(saved(o_), state);
  }

  const OptimizerHandle optimizer_ = initialised_optimizer();
  gradstab_optimizer* const o_ = optimizer_.get();
  Weights weights_;
  Pair gradients_;
};

TEST_F(COptimizerStepErrorsTest, AnotherNumberOfTensors) {
  expect_refused(GRADSTAB_SHAPE_MISMATCH, "got 1 gradients for 2 registered parameters", 2, 1);
  expect_refused(GRADSTAB_SHAPE_MISMATCH,
                 "got " + std::to_string(SIZE_MAX) + " gradients for 2 registered parameters", 2, SIZE_MAX);
  EXPECT_TRUE(refused(gradstab_optimizer_step_pointers(o_, weights_.pointers, gradients_.pointers, 3,
                                                       GRADSTAB_FLOAT32, GRADSTAB_FLOAT32, 2, nullptr),
                      GRADSTAB_SHAPE_MISMATCH, o_, "got 3 gradients for 2 registered parameters"));
}

TEST_F(COptimizerStepErrorsTest, NoArray) {
  const auto expect = [this](gradstab_status status, const std::string& message) {
    EXPECT_TRUE(refused(status, GRADSTAB_INVALID_ARGUMENT, o_, message));
  };
  const std::string parameters = "parameters is NULL, expected an array of 2";
  const std::string gradients = "gradients is NULL, expected an array of 2";
  expect(gradstab_optimizer_step(o_, nullptr, gradients_.tensors, 2, 2, nullptr), parameters);
  expect(gradstab_optimizer_step(o_, weights_.tensors, nullptr, 2, 2, nullptr), gradients);
  expect(gradstab_optimizer_step_pointers(o_, nullptr, gradients_.pointers, 2, 0, 0, 2, nullptr), parameters);
  expect(gradstab_optimizer_step_pointers(o_, weights_.pointers, nullptr, 2, 0, 0, 2, nullptr), gradients);
  expect(gradstab_optimizer_step_one(o_, 0, nullptr, gradients_.tensors, nullptr),
         "parameter is NULL, expected a tensor");
  expect(gradstab_optimizer_step_one(o_, 0, weights_.tensors, nullptr, nullptr),
         "gradient is NULL, expected a tensor");
  expect(gradstab_optimizer_measure_one(o_, 0, nullptr), "gradient is NULL, expected a tensor");
}

TEST_F(COptimizerStepErrorsTest, NoParameterOfThatIndex) {
  const std::string message = "there is no parameter 2; 2 are registered";
  EXPECT_TRUE(refused(gradstab_optimizer_step_one(o_, 2, weights_.tensors, gradients_.tensors, nullptr),
                      GRADSTAB_INVALID_ARGUMENT, o_, message));
  EXPECT_TRUE(refused(gradstab_optimizer_measure_one(o_, 2, gradients_.tensors), GRADSTAB_INVALID_ARGUMENT,
                      o_, message));
}

TEST_F(COptimizerStepErrorsTest, AReportWithoutItsSize) {
  gradstab_step_report report = {};
  EXPECT_TRUE(refused(gradstab_optimizer_step(o_, weights_.tensors, gradients_.tensors, 2, 2, &report),
                      GRADSTAB_INVALID_ARGUMENT, o_,
                      "struct_size of gradstab_step_report is 0, expected sizeof(gradstab_step_report) = " +
                          std::to_string(sizeof report)));
}

TEST_F(COptimizerStepErrorsTest, ADtypeThatDoesNotExist) {
  const std::string known = "; known are float32 (0), float64 (1), float16 (2) and bfloat16 (3)";
  gradients_.tensors[1].dtype = 4;
  expect_refused(GRADSTAB_UNSUPPORTED, "gradient of 'bias' has unknown dtype 4" + known, 1);
  EXPECT_TRUE(refused(gradstab_optimizer_measure_one(o_, 1, &gradients_.tensors[1]), GRADSTAB_UNSUPPORTED, o_,
                      "gradient of 'bias' has unknown dtype 4" + known));
  gradients_.tensors[1].dtype = GRADSTAB_FLOAT32;
  weights_.tensors[0].dtype = -1;
  expect_refused(GRADSTAB_UNSUPPORTED, "parameter 'weight' has unknown dtype -1" + known, 0);
  EXPECT_TRUE(refused(gradstab_optimizer_step_pointers(o_, weights_.pointers, gradients_.pointers, 2, 99,
                                                       GRADSTAB_FLOAT32, 2, nullptr),
                      GRADSTAB_UNSUPPORTED, o_, "parameter 'weight' has unknown dtype 99" + known));
  EXPECT_TRUE(refused(gradstab_optimizer_step_pointers(o_, weights_.pointers, gradients_.pointers, 2,
                                                       GRADSTAB_FLOAT32, 99, 2, nullptr),
                      GRADSTAB_UNSUPPORTED, o_, "gradient of 'weight' has unknown dtype 99" + known));
}

TEST_F(COptimizerStepErrorsTest, ADtypeThatDoesNotGoWithTheOther) {
  weights_.tensors[1].dtype = GRADSTAB_FLOAT16;
  expect_refused(GRADSTAB_UNSUPPORTED,
                 "parameter 'bias' has dtype float16, expected float32, float64 or bfloat16", 1);
  weights_.tensors[1].dtype = GRADSTAB_FLOAT64;
  expect_refused(GRADSTAB_UNSUPPORTED,
                 "parameter 'bias' is float64 but its gradient is float32; float64 goes with float64 only",
                 1);
  weights_.tensors[1].dtype = GRADSTAB_BFLOAT16;
  expect_refused(GRADSTAB_UNSUPPORTED,
                 "parameter 'bias' is bfloat16 with a master copy, but its state is of float32", 1);
}

TEST_F(COptimizerStepErrorsTest, ADeviceThatCannotBeReached) {
  weights_.tensors[0].device = GRADSTAB_CUDA;
  expect_refused(GRADSTAB_UNSUPPORTED, "parameter 'weight' is on a CUDA device", 0);
  weights_.tensors[0].device = 7;
  expect_refused(GRADSTAB_UNSUPPORTED,
                 "parameter 'weight' is on unknown device 7; known are the CPU (0) and CUDA (1)", 0);
  weights_.tensors[0].device = GRADSTAB_CPU;
  gradients_.tensors[0].device = GRADSTAB_CUDA;
  const char* backend = nullptr;
  ASSERT_TRUE(accepted(gradstab_optimizer_backend_in_use(o_, &backend), o_));
  expect_refused(
      GRADSTAB_UNSUPPORTED,
      std::string("gradient of 'weight' is on a CUDA device; backend '") + backend + "' reads host memory",
      0);
}

TEST_F(COptimizerStepErrorsTest, AnotherShape) {
  const std::int64_t transposed[] = {3, 2};
  weights_.tensors[0].sizes = transposed;
  weights_.tensors[0].rank = 2;
  expect_refused(GRADSTAB_SHAPE_MISMATCH, "parameter 'weight' has shape [3, 2], expected [2, 3]", 0);
  weights_.tensors[0].rank = 65;
  expect_refused(GRADSTAB_INVALID_ARGUMENT, "parameter 'weight' has rank 65, expected at most 64", 0);
  weights_.tensors[0].sizes = nullptr;
  weights_.tensors[0].rank = 1;
  expect_refused(GRADSTAB_SHAPE_MISMATCH,
                 "parameter 'weight' has rank 1 and no sizes, expected the registered rank 2", 0);
  weights_.tensors[0].rank = 0;
  gradients_.tensors[0].sizes = transposed;
  gradients_.tensors[0].rank = 2;
  expect_refused(GRADSTAB_SHAPE_MISMATCH, "gradient of 'weight' has shape [3, 2], expected [2, 3]", 0);
}

TEST_F(COptimizerStepErrorsTest, MemoryWithGapsOrOverlapsOrOfTwo) {
  const std::int64_t expanded[] = {0, 1};
  const std::int64_t gaps[] = {4, 1};
  weights_.tensors[0].rank = 2;
  weights_.tensors[0].strides = expanded;
  expect_refused(
      GRADSTAB_UNSUPPORTED,
      "parameter 'weight' overlaps itself in memory (size 2 with stride 0); pass a contiguous copy", 0);
  weights_.tensors[0].strides = gaps;
  expect_refused(GRADSTAB_UNSUPPORTED, "parameter 'weight' has gaps in memory; it must be dense", 0);
  weights_.tensors[0].strides = nullptr;
  weights_.tensors[1].data = weights_.weight.data() + 1;
  expect_refused(
      GRADSTAB_UNSUPPORTED,
      "parameters 'weight' and 'bias' share memory and would be updated twice; register them once");
}

TEST_F(COptimizerStepErrorsTest, AParameterWithoutData) {
  weights_.tensors[1].data = nullptr;
  expect_refused(GRADSTAB_INVALID_ARGUMENT, "parameter 'bias' has a gradient but no data", 1);
}

TEST_F(COptimizerStepErrorsTest, FieldsThatWereNeverSetAndSparseOnes) {
  weights_.tensors[0].reserved = 5;
  expect_refused(GRADSTAB_INVALID_ARGUMENT,
                 "parameter 'weight' has reserved 5, expected 0; was the struct set to 0 first?", 0);
  weights_.tensors[0].reserved = 0;
  weights_.tensors[0].sparse_values = 2;
  expect_refused(GRADSTAB_INVALID_ARGUMENT, "parameter 'weight' has sparse_values 2, expected 0 or 1", 0);
  const std::int64_t sizes[] = {2, 3};
  weights_.tensors[0].sparse_values = 1;
  weights_.tensors[0].sizes = sizes;
  weights_.tensors[0].rank = 2;
  expect_refused(GRADSTAB_INVALID_ARGUMENT, "parameter 'weight' has sparse_values 1, expected 0", 0);
  weights_.tensors[0].sparse_values = 0;
  const std::int64_t few[] = {2};
  gradients_.tensors[0].sparse_values = 1;
  gradients_.tensors[0].sizes = few;
  gradients_.tensors[0].rank = 1;
  expect_refused(GRADSTAB_UNSUPPORTED,
                 "parameter 'weight' has a sparse gradient, which fused optimizers do not accept", 0);
}

TEST_F(COptimizerStepErrorsTest, WithoutAGradientNothingIsLookedAt) {
  std::memset(weights_.tensors, 0xFF, sizeof weights_.tensors);
  std::memset(gradients_.tensors, 0xFF, sizeof gradients_.tensors);
  gradients_.tensors[0].data = gradients_.tensors[1].data = nullptr;
  const auto weight = weights_.weight;
  gradstab_step_report report = empty_report();
  EXPECT_TRUE(accepted(gradstab_optimizer_step(o_, weights_.tensors, gradients_.tensors, 2, 2, &report), o_));
  EXPECT_EQ(report.tensor_count, 2u);
  EXPECT_EQ(report.tensors[0].present, 0);
  gradstab_tensor_report one = {};
  EXPECT_TRUE(
      accepted(gradstab_optimizer_step_one(o_, 0, &weights_.tensors[0], &gradients_.tensors[0], &one), o_));
  EXPECT_EQ(one.present, 0);
  EXPECT_EQ(one.finite, 1);
  EXPECT_EQ(one.factor, 1.0);
  EXPECT_TRUE(accepted(gradstab_optimizer_measure_one(o_, 0, &gradients_.tensors[0]), o_));
  EXPECT_EQ(weights_.weight, weight);
}

TEST_F(COptimizerStepErrorsTest, ASecondCallInTheSameStep) {
  ASSERT_TRUE(accepted(gradstab_optimizer_step(o_, weights_.tensors, gradients_.tensors, 2, 7, nullptr), o_));
  expect_refused(GRADSTAB_FAILED_PRECONDITION,
                 "update was called for step 7 after step 7; each step may transform its gradients once", 2,
                 2, 7);
  EXPECT_TRUE(accepted(gradstab_optimizer_step(o_, weights_.tensors, gradients_.tensors, 2, 8, nullptr), o_));
}

TEST(COptimizerStepOneTest, SaysWhyItIsNotPossible) {
  const auto expect = [](OptimizerHandle optimizer, gradstab_nonfinite_policy policy,
                         const std::string& message) {
    gradstab_run_options run = {};
    run.struct_size = sizeof run;
    run.nonfinite = policy;
    gradstab_optimizer_run_options options = optimizer_run_options();
    options.run = &run;
    gradstab_optimizer* const o = optimizer.get();
    ASSERT_TRUE(accepted(gradstab_optimizer_init(o, kParameters, 2, &options, nullptr, 0), o));
    EXPECT_TRUE(refused(gradstab_optimizer_can_step_one(o), GRADSTAB_UNSUPPORTED, o, message));
    const Weights weights;
    const Pair gradients;
    EXPECT_TRUE(refused(gradstab_optimizer_step_one(o, 0, weights.tensors, gradients.tensors, nullptr),
                        GRADSTAB_UNSUPPORTED, o, message));
    EXPECT_TRUE(weights == Weights());
  };
  expect(make_optimizer(SpamOptions{}), GRADSTAB_SKIP_TENSOR,
         "'spam' resets all moments at the same step of the whole model; step over all parameters at once");
  expect(
      make_optimizer(AdamOptions{}), GRADSTAB_SKIP_STEP,
      "policy 'skip_step' needs all gradients before the first parameter is updated; use 'skip_tensor', or "
      "step over all parameters at once");
  expect(
      make_optimizer(AdamOptions{}, make_clipper(1.0).release()), GRADSTAB_SKIP_TENSOR,
      "'clip_by_global_norm' needs the norms of all tensors before the first one is updated, so it cannot be "
      "part of a step per parameter; use a per-tensor method such as 'stabilize', or step over all "
      "parameters "
      "at once");
}

/// Two parameters, the first gradient with a NaN.
class COptimizerNonFiniteTest : public ::testing::Test {
 protected:
  COptimizerNonFiniteTest() { gradients_.weight[2] = kNaN; }

  static std::vector<std::size_t> listed(const gradstab_optimizer* optimizer) {
    std::size_t count = 77;
    EXPECT_TRUE(accepted(gradstab_optimizer_nonfinite_tensors(optimizer, nullptr, 0, &count), optimizer));
    std::vector<std::size_t> indices(count + 1, 77);
    EXPECT_TRUE(accepted(
        gradstab_optimizer_nonfinite_tensors(optimizer, indices.data(), indices.size(), &count), optimizer));
    EXPECT_EQ(indices.back(), 77u) << "wrote behind the last";
    indices.pop_back();
    return indices;
  }

  gradstab_status step(gradstab_optimizer* optimizer, gradstab_step_report* report) {
    return gradstab_optimizer_step(optimizer, weights_.tensors, gradients_.tensors, 2, GRADSTAB_NO_STEP,
                                   report);
  }

  using Indices = std::vector<std::size_t>;
  Weights weights_;
  Pair gradients_;
};

TEST_F(COptimizerNonFiniteTest, RaiseNamesTheTensorsAndTellsWhatWasMeasured) {
  const OptimizerHandle optimizer = initialised_optimizer(GRADSTAB_RAISE);
  gradstab_optimizer* const o = optimizer.get();
  EXPECT_EQ(listed(o), Indices{}) << "before the first step";
  const auto state = saved(o);
  gradstab_step_report report = empty_report();
  EXPECT_TRUE(refused(step(o, &report), GRADSTAB_NON_FINITE, o, "gradient holds NaN or Inf: 'weight'"));
  EXPECT_EQ(saved(o), state);
  EXPECT_TRUE(weights_ == Weights());
  EXPECT_EQ(report.nonfinite, 1u);
  ASSERT_EQ(report.tensor_count, 2u);
  EXPECT_EQ(report.tensors[0].finite, 0);
  EXPECT_EQ(report.tensors[1].finite, 1);
  EXPECT_EQ(listed(o), Indices{0});
  gradients_.weight[2] = 1;
  EXPECT_TRUE(accepted(step(o, nullptr), o));
  EXPECT_EQ(listed(o), Indices{});

  // One by one: each parameter's own last step counts.
  gradients_.weight[2] = kNaN;
  gradstab_tensor_report one = {};
  const auto before = saved(o);
  EXPECT_TRUE(refused(gradstab_optimizer_step_one(o, 0, &weights_.tensors[0], &gradients_.tensors[0], &one),
                      GRADSTAB_NON_FINITE, o, "gradient holds NaN or Inf: 'weight'"));
  EXPECT_EQ(saved(o), before);
  EXPECT_EQ(one.present, 0);
  EXPECT_TRUE(
      accepted(gradstab_optimizer_step_one(o, 1, &weights_.tensors[1], &gradients_.tensors[1], nullptr), o));
  EXPECT_EQ(listed(o), Indices{0});
  gradients_.weight[2] = 1;
  EXPECT_TRUE(
      accepted(gradstab_optimizer_step_one(o, 0, &weights_.tensors[0], &gradients_.tensors[0], nullptr), o));
  EXPECT_EQ(listed(o), Indices{});
}

TEST_F(COptimizerNonFiniteTest, SkipStepDoesNothingAndSaysSo) {
  const OptimizerHandle optimizer = initialised_optimizer(GRADSTAB_SKIP_STEP);
  gradstab_optimizer* const o = optimizer.get();
  const auto state = saved(o);
  gradstab_step_report report = empty_report();
  EXPECT_TRUE(accepted(step(o, &report), o));
  EXPECT_EQ(report.skip_step, 1);
  EXPECT_EQ(report.nonfinite, 1u);
  EXPECT_TRUE(weights_ == Weights());
  EXPECT_EQ(saved(o), state);
  EXPECT_EQ(listed(o), Indices{0});
}

TEST_F(COptimizerNonFiniteTest, SkipTensorGoesOnWithAZeroGradient) {
  const OptimizerHandle optimizer = initialised_optimizer();
  gradstab_optimizer* const o = optimizer.get();
  gradstab_step_report report = empty_report();
  EXPECT_TRUE(accepted(step(o, &report), o));
  EXPECT_EQ(report.skip_step, 0);
  EXPECT_EQ(report.tensors[0].zeroed, 1);
  EXPECT_EQ(report.tensors[1].zeroed, 0);
  EXPECT_TRUE(std::isnan(gradients_.weight[2])) << "gradients are not written";
  EXPECT_TRUE(std::isfinite(weights_.weight[2]));
  EXPECT_NE(weights_.bias, Weights().bias);
  EXPECT_EQ(listed(o), Indices{0});
  std::size_t count = 0;
  EXPECT_TRUE(refused(gradstab_optimizer_nonfinite_tensors(o, nullptr, 2, &count), GRADSTAB_INVALID_ARGUMENT,
                      o, "indices is NULL, expected room for 2"));
  EXPECT_TRUE(refused(gradstab_optimizer_nonfinite_tensors(o, &count, 1, nullptr), GRADSTAB_INVALID_ARGUMENT,
                      o, "count is NULL, expected a size_t"));
  // Bound anew, nothing has been seen yet.
  ASSERT_TRUE(accepted(gradstab_optimizer_rebind(o, kParameters, 2, nullptr, 0), o));
  EXPECT_EQ(listed(o), Indices{});
}

}  // namespace
}  // namespace gradstab::testing
