// What a step refuses, what it says, and that it then changes nothing.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>

#include "support.hpp"

namespace gradstab::testing {
namespace {

constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

class CUpdateErrorsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    Pair first;
    ASSERT_TRUE(accepted(gradstab_update(t_, first.tensors, 2, 1, nullptr), t_));
  }

  /// Passes the gradients and expects this error: gradients and state as they were, an empty report.
  void expect_refused(gradstab_status status, const std::string& message, std::size_t count = 2,
                      std::int64_t step = GRADSTAB_NO_STEP) {
    const auto state = saved(t_);
    const auto weight = gradients_.weight;
    const auto bias = gradients_.bias;
    gradstab_step_report report = empty_report();
    report.tensor_count = 99;
    report.raw_global_norm = 1.0;
    EXPECT_TRUE(refused(gradstab_update(t_, gradients_.tensors, count, step, &report), status, t_, message));
    EXPECT_EQ(report.tensor_count, 0u);
    EXPECT_EQ(report.tensors, nullptr);
    EXPECT_EQ(report.raw_global_norm, 0.0);
    EXPECT_EQ(gradients_.weight, weight);
    EXPECT_EQ(gradients_.bias, bias);
    EXPECT_EQ(saved(t_), state);
  }

  const Handle transform_ = initialised();
  gradstab_transform* const t_ = transform_.get();
  Pair gradients_;
};

TEST_F(CUpdateErrorsTest, AnotherNumberOfGradients) {
  expect_refused(GRADSTAB_SHAPE_MISMATCH, "got 1 gradients for 2 registered parameters", 1);
  expect_refused(GRADSTAB_SHAPE_MISMATCH, "got 0 gradients for 2 registered parameters", 0);
  expect_refused(GRADSTAB_SHAPE_MISMATCH,
                 "got " + std::to_string(SIZE_MAX) + " gradients for 2 registered parameters", SIZE_MAX);
  EXPECT_TRUE(refused(gradstab_update_pointers(t_, gradients_.pointers, 3, GRADSTAB_FLOAT32, 2, nullptr),
                      GRADSTAB_SHAPE_MISMATCH, t_, "got 3 gradients for 2 registered parameters"));
}

TEST_F(CUpdateErrorsTest, NoArray) {
  EXPECT_TRUE(refused(gradstab_update(t_, nullptr, 2, 2, nullptr), GRADSTAB_INVALID_ARGUMENT, t_,
                      "tensors is NULL, expected an array of 2"));
  EXPECT_TRUE(refused(gradstab_update_pointers(t_, nullptr, 2, GRADSTAB_FLOAT32, 2, nullptr),
                      GRADSTAB_INVALID_ARGUMENT, t_, "data is NULL, expected an array of 2"));
}

TEST_F(CUpdateErrorsTest, AReportWithoutItsSize) {
  gradstab_step_report report = {};
  const auto weight = gradients_.weight;
  EXPECT_TRUE(refused(gradstab_update(t_, gradients_.tensors, 2, 2, &report), GRADSTAB_INVALID_ARGUMENT, t_,
                      "struct_size of gradstab_step_report is 0, expected sizeof(gradstab_step_report) = " +
                          std::to_string(sizeof report)));
  EXPECT_EQ(gradients_.weight, weight);
}

TEST_F(CUpdateErrorsTest, ADtypeThatDoesNotExist) {
  const std::string known = "; known are float32 (0), float64 (1), float16 (2) and bfloat16 (3)";
  for (const gradstab_dtype unknown : {-1, 4, 256, INT32_MIN}) {
    gradients_.tensors[1].dtype = unknown;
    expect_refused(GRADSTAB_UNSUPPORTED,
                   "gradient of 'bias' has unknown dtype " + std::to_string(unknown) + known);
    EXPECT_TRUE(refused(gradstab_update_pointers(t_, gradients_.pointers, 2, unknown, 2, nullptr),
                        GRADSTAB_UNSUPPORTED, t_,
                        "gradient of 'weight' has unknown dtype " + std::to_string(unknown) + known));
  }
}

TEST_F(CUpdateErrorsTest, ADeviceThatTheBackendCannotRead) {
  const char* backend = nullptr;
  ASSERT_TRUE(accepted(gradstab_backend_in_use(t_, &backend), t_));
  gradients_.tensors[0].device = GRADSTAB_CUDA;
  expect_refused(GRADSTAB_UNSUPPORTED, std::string("gradient of 'weight' is on a CUDA device; backend '") +
                                           backend + "' reads host memory");
  for (const gradstab_device unknown : {-1, 2, 256}) {
    gradients_.tensors[0].device = unknown;
    expect_refused(GRADSTAB_UNSUPPORTED, "gradient of 'weight' is on unknown device " +
                                             std::to_string(unknown) +
                                             "; known are the CPU (0) and CUDA (1)");
  }
}

TEST_F(CUpdateErrorsTest, AnotherShape) {
  const std::int64_t transposed[] = {3, 2};
  const std::int64_t none[] = {0};
  gradstab_tensor& weight = gradients_.tensors[0];
  weight.sizes = transposed;
  weight.rank = 2;
  expect_refused(GRADSTAB_SHAPE_MISMATCH, "gradient of 'weight' has shape [3, 2], expected [2, 3]");
  weight.rank = 1;
  expect_refused(GRADSTAB_SHAPE_MISMATCH, "gradient of 'weight' has shape [3], expected [2, 3]");
  weight.sizes = none;
  weight.rank = 0;
  expect_refused(GRADSTAB_SHAPE_MISMATCH, "gradient of 'weight' has shape [], expected [2, 3]");
  weight.rank = 65;
  expect_refused(GRADSTAB_INVALID_ARGUMENT, "gradient of 'weight' has rank 65, expected at most 64");
}

TEST_F(CUpdateErrorsTest, ARankThatDoesNotGoWithTheRegisteredSizes) {
  const std::int64_t strides[] = {3, 1};
  gradstab_tensor& weight = gradients_.tensors[0];
  weight.rank = 1;
  expect_refused(GRADSTAB_SHAPE_MISMATCH,
                 "gradient of 'weight' has rank 1 and no sizes, expected the registered rank 2");
  weight.strides = strides;
  expect_refused(GRADSTAB_SHAPE_MISMATCH,
                 "gradient of 'weight' has rank 1 and no sizes, expected the registered rank 2");
  weight.rank = 0;
  expect_refused(GRADSTAB_SHAPE_MISMATCH,
                 "gradient of 'weight' has rank 0 and no sizes, expected the registered rank 2");
  weight.rank = 2;
  EXPECT_TRUE(accepted(gradstab_update(t_, gradients_.tensors, 2, 2, nullptr), t_));
}

TEST_F(CUpdateErrorsTest, MemoryThatOverlaps) {
  const std::int64_t expanded[] = {0, 1};
  const std::int64_t backwards[] = {3, -1};
  gradients_.tensors[0].rank = 2;
  gradients_.tensors[0].strides = expanded;
  expect_refused(
      GRADSTAB_UNSUPPORTED,
      "gradient of 'weight' overlaps itself in memory (size 2 with stride 0); pass a contiguous copy");
  gradients_.tensors[0].strides = backwards;
  expect_refused(GRADSTAB_UNSUPPORTED, "gradient of 'weight' has a negative stride");
  gradients_.tensors[0].strides = nullptr;
  gradients_.tensors[1].data = gradients_.weight.data() + 2;
  expect_refused(GRADSTAB_UNSUPPORTED,
                 "gradients of 'weight' and 'bias' share memory and would be transformed twice; register "
                 "them once");
}

TEST_F(CUpdateErrorsTest, FieldsThatWereNeverSet) {
  gradients_.tensors[0].reserved = 5;
  expect_refused(GRADSTAB_INVALID_ARGUMENT,
                 "gradient of 'weight' has reserved 5, expected 0; was the struct set to 0 first?");
  gradients_.tensors[0].reserved = 0;
  gradients_.tensors[1].sparse_values = 2;
  expect_refused(GRADSTAB_INVALID_ARGUMENT, "gradient of 'bias' has sparse_values 2, expected 0 or 1");
}

TEST_F(CUpdateErrorsTest, SparseValuesOfNoOrTooManyElements) {
  const std::int64_t many[] = {7};
  gradstab_tensor& weight = gradients_.tensors[0];
  weight.sparse_values = 1;
  expect_refused(GRADSTAB_INVALID_ARGUMENT, "gradient of 'weight' is sparse, but has no sizes of its values");
  weight.sizes = many;
  weight.rank = 1;
  expect_refused(GRADSTAB_SHAPE_MISMATCH,
                 "gradient of 'weight' has 7 sparse values, more than the 6 elements of [2, 3]; coalesce it "
                 "first");
}

TEST_F(CUpdateErrorsTest, SparseValuesForAMethodThatWorksPerRow) {
  gradstab_units units = {};
  units.struct_size = sizeof units;
  units.granularity = GRADSTAB_PER_ROW;
  gradstab_transform* made = nullptr;
  ASSERT_TRUE(accepted(gradstab_stabilize(nullptr, &units, &made)));
  const Handle rows(made);
  ASSERT_TRUE(accepted(gradstab_init(made, kParameters, 2, nullptr), made));
  const std::int64_t few[] = {2};
  gradients_.tensors[0].sparse_values = 1;
  gradients_.tensors[0].sizes = few;
  gradients_.tensors[0].rank = 1;
  EXPECT_TRUE(refused(gradstab_update(made, gradients_.tensors, 2, 1, nullptr), GRADSTAB_UNSUPPORTED, made,
                      "gradient of 'weight' is sparse, but a method works per row and cannot tell its rows"));
}

TEST_F(CUpdateErrorsTest, AnAbsentGradientIsNotLookedAt) {
  std::memset(gradients_.tensors, 0xFF, sizeof gradients_.tensors);
  gradients_.tensors[0].data = gradients_.tensors[1].data = nullptr;
  gradstab_step_report report = empty_report();
  EXPECT_TRUE(accepted(gradstab_update(t_, gradients_.tensors, 2, 2, &report), t_));
  EXPECT_EQ(report.tensors[0].present, 0);
}

TEST_F(CUpdateErrorsTest, ASecondCallInTheSameStep) {
  expect_refused(GRADSTAB_FAILED_PRECONDITION,
                 "update was called for step 1 after step 1; each step may transform its gradients once", 2,
                 1);
  expect_refused(GRADSTAB_FAILED_PRECONDITION,
                 "update was called for step -3 after step 1; each step may transform its gradients once", 2,
                 -3);
  EXPECT_TRUE(accepted(gradstab_update(t_, gradients_.tensors, 2, GRADSTAB_NO_STEP, nullptr), t_));
  EXPECT_TRUE(accepted(gradstab_update(t_, gradients_.tensors, 2, 2, nullptr), t_));
}

/// A transform and gradients of three tensors, two of them bad.
class CNonFiniteTest : public ::testing::Test {
 protected:
  static constexpr std::size_t kBad[] = {0, 2};

  gradstab_status update(gradstab_transform* transform, std::int64_t step, gradstab_step_report* report) {
    return gradstab_update_pointers(transform, data_, 3, GRADSTAB_FLOAT32, step, report);
  }

  Handle transform_of(gradstab_nonfinite_policy policy) {
    Handle transform = make_stabilizer();
    gradstab_run_options options = {};
    options.struct_size = sizeof options;
    options.nonfinite = policy;
    EXPECT_TRUE(accepted(gradstab_init(transform.get(), parameters_, 3, &options), transform.get()));
    return transform;
  }

  /// The tensors that gradstab_nonfinite_tensors lists.
  static std::vector<std::size_t> listed(const gradstab_transform* transform) {
    std::size_t count = 77;
    EXPECT_TRUE(accepted(gradstab_nonfinite_tensors(transform, nullptr, 0, &count), transform));
    std::vector<std::size_t> indices(count + 1, 77);
    EXPECT_TRUE(
        accepted(gradstab_nonfinite_tensors(transform, indices.data(), indices.size(), &count), transform));
    EXPECT_EQ(indices.back(), 77u) << "wrote behind the last";
    indices.pop_back();
    return indices;
  }

  std::int64_t sizes_[1] = {2};
  gradstab_parameter parameters_[3] = {{"a", 1, sizes_}, {"b", 1, sizes_}, {"c", 1, sizes_}};
  float values_[3][2] = {{kNaN, 1}, {3, 4}, {-INFINITY, 2}};
  void* data_[3] = {values_[0], values_[1], values_[2]};
};

TEST_F(CNonFiniteTest, RaiseNamesTheTensorsAndTellsWhatWasMeasured) {
  const Handle transform = transform_of(GRADSTAB_RAISE);
  gradstab_transform* const t = transform.get();
  EXPECT_EQ(listed(t), std::vector<std::size_t>{}) << "before the first step";
  const auto state = saved(t);
  gradstab_step_report report = empty_report();
  EXPECT_TRUE(refused(update(t, 1, &report), GRADSTAB_NON_FINITE, t, "gradient holds NaN or Inf: 'a', 'c'"));
  EXPECT_EQ(saved(t), state);
  EXPECT_EQ(values_[1][0], 3.0f);
  EXPECT_EQ(report.nonfinite, 2u);
  EXPECT_EQ(report.skip_step, 0);
  EXPECT_EQ(report.step, 0);
  ASSERT_EQ(report.tensor_count, 3u);
  EXPECT_EQ(report.tensors[0].finite, 0);
  EXPECT_EQ(report.tensors[1].finite, 1);
  EXPECT_EQ(report.tensors[1].raw_norm, 5.0);
  EXPECT_EQ(report.tensors[1].factor, 1.0);
  EXPECT_EQ(listed(t), std::vector<std::size_t>(std::begin(kBad), std::end(kBad)));
  const char* name = nullptr;
  EXPECT_TRUE(accepted(gradstab_parameter_name(t, listed(t)[1], &name), t));
  EXPECT_STREQ(name, "c");

  // The step was not used up.
  values_[0][0] = values_[2][0] = 1;
  EXPECT_TRUE(accepted(update(t, 1, &report), t));
  EXPECT_EQ(listed(t), std::vector<std::size_t>{});
}

TEST_F(CNonFiniteTest, SkipStepAsksForTheVeto) {
  const Handle transform = transform_of(GRADSTAB_SKIP_STEP);
  gradstab_step_report report = empty_report();
  EXPECT_TRUE(accepted(update(transform.get(), 1, &report), transform.get()));
  EXPECT_EQ(report.skip_step, 1);
  EXPECT_EQ(report.nonfinite, 2u);
  EXPECT_EQ(report.step, 0);
  EXPECT_EQ(values_[1][0], 3.0f);
  EXPECT_EQ(listed(transform.get()), std::vector<std::size_t>(std::begin(kBad), std::end(kBad)));
}

TEST_F(CNonFiniteTest, SkipTensorZeroesThoseAndScalesTheRest) {
  const Handle transform = transform_of(GRADSTAB_SKIP_TENSOR);
  gradstab_step_report report = empty_report();
  EXPECT_TRUE(accepted(update(transform.get(), 1, &report), transform.get()));
  EXPECT_EQ(report.skip_step, 0);
  EXPECT_EQ(report.nonfinite, 2u);
  EXPECT_EQ(report.tensors[0].zeroed, 1);
  EXPECT_EQ(report.tensors[1].zeroed, 0);
  EXPECT_EQ(values_[0][1], 0.0f);
  EXPECT_EQ(values_[1][0], 0.6f);
  EXPECT_EQ(listed(transform.get()), std::vector<std::size_t>(std::begin(kBad), std::end(kBad)));
}

TEST_F(CNonFiniteTest, PassThroughLeavesThem) {
  const Handle transform = transform_of(GRADSTAB_PASS_THROUGH);
  gradstab_step_report report = empty_report();
  EXPECT_TRUE(accepted(update(transform.get(), 1, &report), transform.get()));
  EXPECT_EQ(report.nonfinite, 2u);
  EXPECT_EQ(report.tensors[0].zeroed, 0);
  EXPECT_TRUE(std::isnan(values_[0][0]));
  EXPECT_EQ(values_[2][1], 2.0f);
}

TEST_F(CNonFiniteTest, TheListIsCutToTheRoomThereIs) {
  const Handle transform = transform_of(GRADSTAB_RAISE);
  gradstab_transform* const t = transform.get();
  EXPECT_EQ(update(t, 1, nullptr), GRADSTAB_NON_FINITE);
  std::size_t indices[] = {77, 77};
  std::size_t count = 0;
  EXPECT_TRUE(accepted(gradstab_nonfinite_tensors(t, indices, 1, &count), t));
  EXPECT_EQ(count, 2u);
  EXPECT_EQ(indices[0], 0u);
  EXPECT_EQ(indices[1], 77u);
  EXPECT_TRUE(refused(gradstab_nonfinite_tensors(t, nullptr, 2, &count), GRADSTAB_INVALID_ARGUMENT, t,
                      "indices is NULL, expected room for 2"));
  EXPECT_TRUE(refused(gradstab_nonfinite_tensors(t, indices, 2, nullptr), GRADSTAB_INVALID_ARGUMENT, t,
                      "count is NULL, expected a size_t"));
}

}  // namespace
}  // namespace gradstab::testing
