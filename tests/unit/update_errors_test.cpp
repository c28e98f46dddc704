// What `update` refuses, what it says, and that it then changes nothing.
#include <gtest/gtest.h>

#include "gradstab/transforms.hpp"
#include "support/gradients.hpp"
#include "support/saved_moments.hpp"

namespace gradstab {
namespace {

using testing::Gradients;

class UpdateErrorsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(transform_.init(parameters_).ok());
    fill();
    ASSERT_TRUE(transform_.update(gradients_.refs(), 1).ok());
    fill();
  }

  void fill() { gradients_.set_all({{1, 2, 3, 4, 5, 6}, {0.5, -0.5}}); }

  /// Passes `refs` and expects this error, with gradients and state as they were.
  void expect_refused(std::span<const TensorRef> refs, StatusCode code, const std::string& message,
                      std::optional<std::int64_t> step = {}) {
    const auto state = transform_.save().value();
    const auto values = gradients_.values();
    const auto report = transform_.update(refs, step);
    ASSERT_FALSE(report.ok());
    EXPECT_EQ(report.status().code(), code);
    EXPECT_EQ(report.status().message(), message);
    EXPECT_EQ(transform_.save().value(), state);
    EXPECT_EQ(gradients_.values(), values);
  }

  const ParameterSet parameters_ = testing::parameter_set({{"weight", {2, 3}}, {"bias", {2}}});
  GradientTransform transform_ = stabilize();
  Gradients gradients_{parameters_, DType::float32};
};

TEST_F(UpdateErrorsTest, BeforeInit) {
  GradientTransform fresh = stabilize();
  const auto report = fresh.update(gradients_.refs());
  EXPECT_EQ(report.status().code(), StatusCode::failed_precondition);
  EXPECT_EQ(report.status().message(), "update was called before a successful init");
  EXPECT_EQ(fresh.save().status().message(), "save was called before a successful init");
  EXPECT_EQ(fresh.load({}).message(), "load was called before a successful init");
  EXPECT_EQ(fresh.rebind({}).message(), "rebind was called before a successful init");
}

TEST_F(UpdateErrorsTest, AfterAnInitThatFailed) {
  GradientTransform broken = stabilize({.gamma1 = 3.0});
  EXPECT_FALSE(broken.init(parameters_).ok());
  EXPECT_EQ(broken.update(gradients_.refs()).status().code(), StatusCode::failed_precondition);
}

TEST_F(UpdateErrorsTest, AnotherNumberOfGradients) {
  expect_refused(gradients_.refs().first(1), StatusCode::shape_mismatch,
                 "got 1 gradients for 2 registered parameters");
  expect_refused({}, StatusCode::shape_mismatch, "got 0 gradients for 2 registered parameters");
}

TEST_F(UpdateErrorsTest, AnotherShapeNamesTheParameterAndBothShapes) {
  const std::vector<std::int64_t> transposed = {3, 2};
  gradients_.mutable_refs()[0].sizes = transposed;
  expect_refused(gradients_.refs(), StatusCode::shape_mismatch,
                 "gradient of 'weight' has shape [3, 2], expected [2, 3]");
}

TEST_F(UpdateErrorsTest, AnErrorInTheLastTensorLeavesTheFirstAlone) {
  const std::vector<std::int64_t> longer = {2, 1};
  gradients_.mutable_refs()[1].sizes = longer;
  expect_refused(gradients_.refs(), StatusCode::shape_mismatch,
                 "gradient of 'bias' has shape [2, 1], expected [2]");
}

TEST_F(UpdateErrorsTest, SparseValuesOfImpossibleSizes) {
  const std::vector<std::int64_t> negative = {-1};
  const std::vector<std::int64_t> many = {7};
  const std::vector<std::int64_t> endless = {std::int64_t{1} << 62, 4};
  TensorRef& weight = gradients_.mutable_refs()[0];
  weight.sparse_values = true;
  weight.sizes = negative;
  expect_refused(gradients_.refs(), StatusCode::shape_mismatch,
                 "gradient of 'weight' has a negative size in [-1]");
  weight.sizes = many;
  expect_refused(gradients_.refs(), StatusCode::shape_mismatch,
                 "gradient of 'weight' has 7 sparse values, more than the 6 elements of [2, 3]; coalesce it "
                 "first");
  weight.sizes = endless;
  expect_refused(gradients_.refs(), StatusCode::shape_mismatch,
                 "gradient of 'weight' has 9223372036854775807 sparse values, more than the 6 elements of "
                 "[2, 3]; coalesce it first");
}

TEST_F(UpdateErrorsTest, ADtypeThatDoesNotExist) {
  gradients_.mutable_refs()[1].dtype = static_cast<DType>(17);
  expect_refused(gradients_.refs(), StatusCode::unsupported, "gradient of 'bias' has unknown dtype 17");
}

TEST_F(UpdateErrorsTest, ADeviceThatTheBackendCannotRead) {
  gradients_.mutable_refs()[0].device = DeviceType::cuda;
  expect_refused(gradients_.refs(), StatusCode::unsupported,
                 "gradient of 'weight' is on a CUDA device; backend '" +
                     std::string(transform_.backend_name()) + "' reads host memory");
}

TEST_F(UpdateErrorsTest, MemoryThatOverlapsItself) {
  const std::vector<std::int64_t> expanded = {0, 1};
  gradients_.mutable_refs()[0].strides = expanded;
  expect_refused(
      gradients_.refs(), StatusCode::unsupported,
      "gradient of 'weight' overlaps itself in memory (size 2 with stride 0); pass a contiguous copy");
}

TEST_F(UpdateErrorsTest, ASecondCallInTheSameStep) {
  expect_refused(gradients_.refs(), StatusCode::failed_precondition,
                 "update was called for step 1 after step 1; each step may transform its gradients once", 1);
  expect_refused(gradients_.refs(), StatusCode::failed_precondition,
                 "update was called for step -3 after step 1; each step may transform its gradients once",
                 -3);
  EXPECT_TRUE(transform_.update(gradients_.refs(), 2).ok());
  EXPECT_TRUE(transform_.update(gradients_.refs(), 10).ok()) << "steps may be left out";
}

TEST_F(UpdateErrorsTest, ARefusedUpdateReportsNoTensors) {
  EXPECT_EQ(transform_.report().tensors.size(), 2u);
  EXPECT_GT(transform_.report().raw_global_norm, 0.0);
  EXPECT_FALSE(transform_.update({}).ok());
  EXPECT_TRUE(transform_.report().tensors.empty());
  EXPECT_EQ(transform_.report().raw_global_norm, 0.0);
  EXPECT_EQ(transform_.report().step, 1);
}

TEST_F(UpdateErrorsTest, BeforeTheFirstUpdateTheReportHasEveryTensorAbsent) {
  GradientTransform fresh = stabilize();
  EXPECT_TRUE(fresh.report().tensors.empty());
  ASSERT_TRUE(fresh.init(parameters_).ok());
  ASSERT_EQ(fresh.report().tensors.size(), 2u);
  EXPECT_FALSE(fresh.report().tensors[0].present);
  EXPECT_EQ(fresh.report().step, 0);
}

TEST_F(UpdateErrorsTest, AFailedCallDoesNotUseUpItsStep) {
  EXPECT_FALSE(transform_.update({}, 2).ok());
  EXPECT_TRUE(transform_.update(gradients_.refs(), 2).ok());
}

TEST_F(UpdateErrorsTest, ASecondInitStartsAfresh) {
  ASSERT_TRUE(transform_.init(parameters_).ok());
  EXPECT_EQ(testing::saved_moments(transform_)[0], NormMoments{});
  EXPECT_TRUE(transform_.update(gradients_.refs(), 1).ok());
}

}  // namespace
}  // namespace gradstab
