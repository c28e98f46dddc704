// The C interface of what runs on a device, with the device's code run on the host.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string_view>
#include <vector>

#include "gradstab/cuda.h"
#include "gradstab/cuda.hpp"

namespace {

using ::testing::HasSubstr;

struct Destroy {
  void operator()(gradstab_cuda* object) const { gradstab_cuda_destroy(object); }
};
using Object = std::unique_ptr<gradstab_cuda, Destroy>;

Object transform() {
  gradstab_transform* made = nullptr;
  EXPECT_EQ(gradstab_stabilize(nullptr, nullptr, &made), GRADSTAB_OK);
  gradstab_cuda* object = nullptr;
  EXPECT_EQ(gradstab_cuda_transform(made, &object), GRADSTAB_OK);
  return Object(object);
}

Object optimizer() {
  gradstab_transform* front = nullptr;
  EXPECT_EQ(gradstab_stabilize(nullptr, nullptr, &front), GRADSTAB_OK);
  gradstab_optimizer* made = nullptr;
  EXPECT_EQ(gradstab_adam(nullptr, front, &made), GRADSTAB_OK);
  gradstab_cuda* object = nullptr;
  EXPECT_EQ(gradstab_cuda_optimizer(made, &object), GRADSTAB_OK);
  return Object(object);
}

gradstab_cuda_options emulated() {
  gradstab_cuda_options options;
  EXPECT_EQ(gradstab_cuda_options_init(&options, sizeof options), GRADSTAB_OK);
  EXPECT_EQ(options.device, -1);
  options.emulate = 1;
  return options;
}

constexpr int64_t kSizes[] = {4};
constexpr gradstab_parameter kParameter{"weight", 1, kSizes};

gradstab_tensor tensor(float* data) {
  gradstab_tensor result{};
  result.data = data;
  result.device = GRADSTAB_CUDA;
  return result;
}

TEST(CudaC, ATransformStepsReportsAndMovesItsState) {
  const Object object = transform();
  const gradstab_cuda_options options = emulated();
  ASSERT_EQ(gradstab_cuda_init(object.get(), &kParameter, 1, &options, nullptr, 0), GRADSTAB_OK);
  const char* name = nullptr;
  ASSERT_EQ(gradstab_cuda_name(object.get(), &name), GRADSTAB_OK);
  EXPECT_STREQ(name, "stabilize");
  float gradient[] = {3, 0, 4, 0};
  const gradstab_tensor gradients = tensor(gradient);
  ASSERT_EQ(gradstab_cuda_step(object.get(), nullptr, &gradients, 1, nullptr), GRADSTAB_OK);
  EXPECT_FLOAT_EQ(gradient[0], 0.6f);
  EXPECT_FLOAT_EQ(gradient[2], 0.8f);

  gradstab_step_report report{};
  report.struct_size = sizeof report;
  EXPECT_EQ(gradstab_cuda_report(object.get(), &report), GRADSTAB_FAILED_PRECONDITION);
  ASSERT_EQ(gradstab_cuda_request_report(object.get(), nullptr), GRADSTAB_OK);
  int32_t ready = 0;
  ASSERT_EQ(gradstab_cuda_report_is_ready(object.get(), &ready), GRADSTAB_OK);
  EXPECT_EQ(ready, 1);
  ASSERT_EQ(gradstab_cuda_report(object.get(), &report), GRADSTAB_OK);
  ASSERT_EQ(report.tensor_count, 1u);
  EXPECT_EQ(report.tensors[0].raw_norm, 5.0);
  EXPECT_DOUBLE_EQ(report.tensors[0].norm, 1.0);
  EXPECT_EQ(report.step, 1);

  uint64_t launches = 0;
  uint64_t waits = 0;
  ASSERT_EQ(gradstab_cuda_counts(object.get(), &launches, nullptr, &waits), GRADSTAB_OK);
  EXPECT_EQ(launches, 3u);
  const int32_t* flag = nullptr;
  ASSERT_EQ(gradstab_cuda_skip_flag(object.get(), &flag), GRADSTAB_OK);
  EXPECT_EQ(*flag, 0);

  // Into a transform of the CPU, and back.
  void* bytes = nullptr;
  size_t size = 0;
  ASSERT_EQ(gradstab_cuda_save(object.get(), nullptr, &bytes, &size), GRADSTAB_OK);
  gradstab_transform* host = nullptr;
  ASSERT_EQ(gradstab_stabilize(nullptr, nullptr, &host), GRADSTAB_OK);
  ASSERT_EQ(gradstab_init(host, &kParameter, 1, nullptr), GRADSTAB_OK);
  EXPECT_EQ(gradstab_load(host, bytes, size), GRADSTAB_OK) << gradstab_last_error(host);
  EXPECT_EQ(gradstab_cuda_load(object.get(), bytes, size, nullptr), GRADSTAB_OK);
  EXPECT_EQ(gradstab_cuda_load(object.get(), bytes, size - 1, nullptr), GRADSTAB_CORRUPT_DATA);
  gradstab_free(bytes);
  gradstab_destroy(host);
}

TEST(CudaC, AnOptimizerStepsInOneOrTwoParts) {
  const gradstab_cuda_options options = emulated();
  std::vector<std::vector<float>> results;
  for (const char* way : {"whole", "parts", "one"}) {
    const Object object = optimizer();
    ASSERT_EQ(gradstab_cuda_init(object.get(), &kParameter, 1, &options, nullptr, 0), GRADSTAB_OK);
    float weight[] = {1, 2, 3, 4};
    float gradient[] = {1, -1, 2, 0};
    const gradstab_tensor parameters = tensor(weight);
    const gradstab_tensor gradients = tensor(gradient);
    ASSERT_EQ(gradstab_cuda_prepare(object.get(), &parameters, &gradients, 1, nullptr), GRADSTAB_OK);
    ASSERT_EQ(gradstab_cuda_set_lr(object.get(), 0.5, nullptr), GRADSTAB_OK);
    ASSERT_EQ(gradstab_cuda_set_group_lr(object.get(), 0, 0.25, nullptr), GRADSTAB_OK);
    if (std::string_view(way) == "one") {
      ASSERT_EQ(gradstab_cuda_step_one(object.get(), 0, &parameters, &gradients, nullptr), GRADSTAB_OK);
    } else if (std::string_view(way) == "parts") {
      ASSERT_EQ(gradstab_cuda_measure(object.get(), &parameters, &gradients, 1, nullptr), GRADSTAB_OK);
      double* squared = nullptr;
      ASSERT_EQ(gradstab_cuda_squared_norms(object.get(), &squared), GRADSTAB_OK);
      EXPECT_EQ(*squared, 6.0);
      ASSERT_EQ(gradstab_cuda_finish(object.get(), nullptr), GRADSTAB_OK);
    } else {
      ASSERT_EQ(gradstab_cuda_step(object.get(), &parameters, &gradients, 1, nullptr), GRADSTAB_OK);
    }
    // Adam's first step is the learning rate, in the direction of the gradient's sign.
    EXPECT_NEAR(weight[0], 0.75, 1e-6);
    EXPECT_NEAR(weight[1], 2.25, 1e-6);
    EXPECT_EQ(weight[3], 4.0f);
    EXPECT_EQ(gradient[2], 2.0f);
    results.emplace_back(weight, weight + 4);
    EXPECT_EQ(results.back(), results.front()) << way;
  }
}

TEST(CudaC, WhatIsWrongIsSaid) {
  const Object object = transform();
  EXPECT_EQ(gradstab_cuda_step(object.get(), nullptr, nullptr, 1, nullptr), GRADSTAB_FAILED_PRECONDITION);
  EXPECT_THAT(gradstab_cuda_last_error(object.get()), HasSubstr("gradstab_cuda_init"));
  EXPECT_EQ(gradstab_cuda_set_lr(object.get(), 0.1, nullptr), GRADSTAB_INVALID_ARGUMENT);
  float one[4] = {};
  const gradstab_tensor lonely = tensor(one);
  EXPECT_EQ(gradstab_cuda_step_one(object.get(), 0, &lonely, &lonely, nullptr), GRADSTAB_INVALID_ARGUMENT);
  EXPECT_THAT(gradstab_cuda_last_error(object.get()), HasSubstr("a transform has no step of one parameter"));
  const Object adam = optimizer();
  EXPECT_EQ(gradstab_cuda_step_one(adam.get(), 0, &lonely, &lonely, nullptr), GRADSTAB_FAILED_PRECONDITION);
  gradstab_cuda_options options = emulated();
  options.emulate = 2;
  EXPECT_EQ(gradstab_cuda_init(object.get(), &kParameter, 1, &options, nullptr, 0),
            GRADSTAB_INVALID_ARGUMENT);
  options = emulated();
  ASSERT_EQ(gradstab_cuda_init(object.get(), &kParameter, 1, &options, nullptr, 0), GRADSTAB_OK);
  float memory[4] = {};
  gradstab_tensor gradients = tensor(memory);
  gradients.device = GRADSTAB_CPU;
  EXPECT_EQ(gradstab_cuda_step(object.get(), nullptr, &gradients, 1, nullptr), GRADSTAB_UNSUPPORTED);
  EXPECT_THAT(gradstab_cuda_last_error(object.get()), HasSubstr("'weight' is on the CPU"));
  EXPECT_EQ(gradstab_cuda_step(nullptr, nullptr, &gradients, 1, nullptr), GRADSTAB_INVALID_ARGUMENT);
  EXPECT_EQ(gradstab_cuda_transform(nullptr, nullptr), GRADSTAB_INVALID_ARGUMENT);
}

TEST(CudaC, AvailableSaysWhatTheLibrarySays) {
  const gradstab::Status expected = gradstab::cuda_available();
  EXPECT_EQ(gradstab_cuda_available(), static_cast<gradstab_status>(expected.code()));
  EXPECT_EQ(gradstab_cuda_last_error(nullptr), expected.message());
}

}  // namespace
