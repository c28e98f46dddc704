// Golden vectors through LibTorch's own optimizers, in float32 as the authors ran them.
#include <gtest/gtest.h>
#include <torch/torch.h>

#include "golden/comparison.hpp"
#include "golden/fixture.hpp"
#include "gradstab/libtorch.hpp"

namespace gradstab {
namespace {

using fixture::Values;

/// Of parameters after many float32 updates (the fixtures' README).
constexpr double kParameterTolerance = 8e-6;

torch::Tensor tensor_of(const Values& values, const std::vector<std::int64_t>& sizes) {
  return torch::tensor(std::vector<double>(values), torch::kFloat64).to(torch::kFloat32).reshape(sizes);
}

Values values_of(const torch::Tensor& tensor) {
  const torch::Tensor flat = tensor.detach().to(torch::kFloat64).contiguous().flatten();
  return {flat.data_ptr<double>(), flat.data_ptr<double>() + flat.numel()};
}

StabilizerOptions options_of(const nlohmann::json& hyper) {
  StabilizerOptions options = StabilizerOptions::released();
  options.gamma1 = hyper.at("gamma1");
  options.gamma2 = hyper.at("gamma2");
  options.bias_correction = hyper.at("bias_correction");
  return options;
}

class StabilizedAdamWGoldenTest : public testing::TestWithParam<std::string> {};

TEST_P(StabilizedAdamWGoldenTest, ParametersFollowTheAuthorsRun) {
  const fixture::Case golden = fixture::load_case("gs_adamw", GetParam());
  std::vector<torch::Tensor> parameters;
  for (const fixture::Tensor& tensor : golden.tensors) {
    parameters.push_back(tensor_of(tensor.init, tensor.sizes).requires_grad_());
  }
  Stabilized<torch::optim::AdamW> optimizer(
      stabilize(options_of(golden.hyper)), {}, parameters,
      torch::optim::AdamWOptions(golden.hyper_number("lr"))
          .betas({golden.hyper_number("beta1"), golden.hyper_number("beta2")})
          .eps(golden.hyper_number("eps"))
          .weight_decay(golden.hyper_number("weight_decay")));
  for (const fixture::Step& step : golden.steps) {
    const auto gradients = step.gradients();
    for (std::size_t i = 0; i < parameters.size(); ++i) {
      parameters[i].mutable_grad() = tensor_of(gradients[i], golden.tensors[i].sizes);
    }
    optimizer.step();
    std::vector<Values> result;
    for (const torch::Tensor& parameter : parameters) result.push_back(values_of(parameter));
    for (const char* run : {"param32", "param64"}) {
      const auto expected = step.tensors(run);
      ASSERT_EQ(fixture::difference(result, expected, kParameterTolerance), "")
          << run << " of step " << step.t;
      ASSERT_NE(
          fixture::difference(fixture::perturbed(result, kParameterTolerance), expected, kParameterTolerance),
          "");
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Golden, StabilizedAdamWGoldenTest,
                         testing::ValuesIn(fixture::case_names("gs_adamw")),
                         [](const auto& test) { return test.param; });

class StabilizedQuadraticGoldenTest : public testing::TestWithParam<std::string> {
 protected:
  /// Minimises sum c (x - target)^2 / 2 with gradients multiplied as recorded; compares every step.
  template <class Optimizer, class Options>
  void follow(Options settings) {
    const fixture::Case golden = fixture::load_case("gs_quadratic", GetParam());
    const auto read = [&](const char* key) {
      const Values values = fixture::to_float32_values(golden.hyper.at(key));
      return tensor_of(values, {static_cast<std::int64_t>(values.size())});
    };
    const torch::Tensor curvature = read("curvature");
    const torch::Tensor target = read("target");
    torch::Tensor x = read("x0").requires_grad_();
    Stabilized<Optimizer> optimizer(stabilize(options_of(golden.hyper)), {}, std::vector{x}, settings);
    for (const fixture::Step& step : golden.steps) {
      const double multiplier = golden.hyper.at("multipliers").value(std::to_string(step.t), 1.0);
      x.mutable_grad() = curvature * (x.detach() - target) * multiplier;
      optimizer.step();
      const std::vector<Values> result = {values_of(x)};
      ASSERT_EQ(fixture::difference(result, step.tensors("param32"), kParameterTolerance), "")
          << "step " << step.t;
      ASSERT_NE(fixture::difference(fixture::perturbed(result, kParameterTolerance), step.tensors("param32"),
                                    kParameterTolerance),
                "");
    }
  }
};

TEST_P(StabilizedQuadraticGoldenTest, TrajectoryFollowsTheAuthorsRun) {
  const double lr = fixture::load_case("gs_quadratic", GetParam()).hyper_number("lr");
  if (GetParam() == "adamw") {
    follow<torch::optim::AdamW>(torch::optim::AdamWOptions(lr).weight_decay(0.0));
  } else {
    follow<torch::optim::SGD>(torch::optim::SGDOptions(lr));
  }
}

INSTANTIATE_TEST_SUITE_P(Golden, StabilizedQuadraticGoldenTest,
                         testing::ValuesIn(fixture::case_names("gs_quadratic")),
                         [](const auto& test) { return test.param; });

}  // namespace
}  // namespace gradstab
