// What the trainer does to all gradients at once, and the devices that it may do it on.
#include "lab/train/gradients.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <limits>
#include <vector>

#include "lab/train/device.hpp"
#include "lab/train/environment.hpp"

namespace gradstab::lab {
namespace {

/// Parameters of these sizes; the gradient of the n-th is n + 1 everywhere.
struct Model : torch::nn::Module {
  explicit Model(const std::vector<std::int64_t>& sizes) {
    for (std::size_t i = 0; i < sizes.size(); ++i) {
      auto parameter = register_parameter(fmt::format("p{}", i), torch::ones({sizes[i]}));
      parameter.mutable_grad() = torch::full({sizes[i]}, static_cast<double>(i + 1));
    }
  }
  torch::Tensor gradient(std::size_t i) const { return parameters()[i].grad(); }
};

TEST(UnscaleGradientsTest, MultipliesEveryGradient) {
  Model model({3, 1, 5});
  EXPECT_FALSE(unscale_gradients(model, 0.25F));
  for (std::size_t i = 0; i < 3; ++i)
    EXPECT_TRUE(torch::equal(model.gradient(i),
                             torch::full_like(model.gradient(i), 0.25 * static_cast<double>(i + 1))));
}

TEST(UnscaleGradientsTest, FindsOneNonFiniteElementAnywhere) {
  constexpr float kInf = std::numeric_limits<float>::infinity();
  for (const float bad : {kInf, -kInf, std::numeric_limits<float>::quiet_NaN()}) {
    for (std::size_t i = 0; i < 3; ++i) {
      for (const std::int64_t place : {0, 299}) {
        Model model({300, 400, 500});
        model.gradient(i)[place] = bad;
        EXPECT_TRUE(unscale_gradients(model, 0.5F)) << bad << " in gradient " << i << " at " << place;
      }
    }
  }
}

TEST(UnscaleGradientsTest, LargeOnesAreFiniteUntilTheirProductIsNot) {
  Model model({4, 4});
  for (std::size_t i = 0; i < 2; ++i) model.gradient(i).fill_(std::numeric_limits<float>::max());
  EXPECT_FALSE(unscale_gradients(model, 1.0F));
  EXPECT_TRUE(unscale_gradients(model, 2.0F));
}

TEST(UnscaleGradientsTest, GradientsThatAreMissingOrEmptyDoNotCount) {
  Model model({2, 0});
  model.parameters()[0].mutable_grad().reset();
  EXPECT_FALSE(unscale_gradients(model, 0.5F));
}

TEST(DeviceTest, TheCpuIsAlwaysThere) {
  EXPECT_TRUE(device_named("cpu").value().is_cpu());
  EXPECT_EQ(device_model(torch::kCPU), "");
}

TEST(DeviceTest, SaysWhyThereIsNone) {
  if (torch::cuda::is_available()) GTEST_SKIP() << "there is one";
  const std::string why = at::globalContext().hasCUDART() ? "LibTorch found no CUDA device"
                                                          : "this LibTorch was built without CUDA";
  for (const std::string name : {"cuda", "cuda:2"}) {
    const auto device = device_named(name);
    ASSERT_FALSE(device);
    EXPECT_EQ(device.status().message(), fmt::format("--device {}: {}", name, why));
    EXPECT_EQ(device.status().code(), StatusCode::failed_precondition);
  }
}

TEST(DeviceTest, TheEnvironmentNamesAGpuWhereOneIsUsed) {
  EXPECT_FALSE(describe_environment().contains("gpu"));
  EXPECT_EQ(describe_environment("NVIDIA H100").at("gpu"), "NVIDIA H100");
}

}  // namespace
}  // namespace gradstab::lab
