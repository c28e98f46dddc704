// The LibTorch adaptor: still a real optimizer, and none of the released wrapper's defects (docs/defects.md).
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/torch.h>

#include <cmath>
#include <limits>
#include <sstream>

#include "aten/tensor.hpp"
#include "gradstab/bounds.hpp"
#include "gradstab/libtorch.hpp"
#include "libtorch/subjects.hpp"

namespace gradstab {
namespace {

using testing::error_of;
using ::testing::HasSubstr;
using torch::optim::AdamW;
using torch::optim::AdamWOptions;
using torch::optim::SGD;
using torch::optim::SGDOptions;

torch::Tensor parameter(std::initializer_list<std::int64_t> sizes, double value = 0.0) {
  return torch::full(sizes, value, torch::kFloat32).requires_grad_();
}

void set_grad(torch::Tensor& tensor, const torch::Tensor& gradient) {
  tensor.mutable_grad() = gradient;
}

double norm_of(const torch::Tensor& tensor) {
  return tensor.to(torch::kFloat64).norm().item<double>();
}

TEST(StabilizedTest, FirstStepOfTheReleasedFormHasNormOne) {
  torch::Tensor p = parameter({3, 4});
  Stabilized<SGD> optimizer(std::vector{p}, SGDOptions(1.0));
  set_grad(p, torch::full({3, 4}, 100.0f));
  optimizer.step();
  EXPECT_NEAR(norm_of(p), 1.0, 1e-6);
  EXPECT_NEAR(optimizer.report().raw_global_norm, 100.0 * std::sqrt(12.0), 1e-3);
  EXPECT_EQ(optimizer.report().tensors.size(), 1u);
}

TEST(StabilizedTest, SchedulerDrivesTheLearningRateAsOnAPlainOptimizer) {
  torch::Tensor plain_p = parameter({4});
  torch::Tensor p = parameter({4});
  SGD plain(std::vector{plain_p}, SGDOptions(1.0));
  Stabilized<SGD> optimizer(std::vector{p}, SGDOptions(1.0));
  torch::optim::StepLR plain_schedule(plain, 1, 0.5);
  torch::optim::StepLR schedule(optimizer, 1, 0.5);
  for (int step = 0; step < 5; ++step) {
    set_grad(plain_p, torch::tensor({1.0f, 0.0f, 0.0f, 0.0f}));
    set_grad(p, torch::tensor({3.0f, 0.0f, 0.0f, 0.0f}));  // a constant norm is stabilized to 1
    plain.step();
    optimizer.step();
    plain_schedule.step();
    schedule.step();
    EXPECT_NEAR(p[0].item<double>(), plain_p[0].item<double>(), 1e-6) << "step " << step;
  }
  EXPECT_NEAR(optimizer.param_groups()[0].options().get_lr(), 1.0 / 16.0, 1e-12);
}

TEST(StabilizedTest, ParameterGroupsKeepTheirSettingsAndMayBeAddedLater) {
  torch::Tensor a = parameter({2});
  torch::Tensor b = parameter({2});
  Stabilized<SGD> optimizer(std::vector{a}, SGDOptions(1.0));
  set_grad(a, torch::tensor({2.0f, 0.0f}));
  optimizer.step();
  set_grad(a, torch::tensor({4.0f, 0.0f}));
  optimizer.add_param_group(torch::optim::OptimizerParamGroup({b}, std::make_unique<SGDOptions>(0.1)));
  set_grad(b, torch::tensor({0.0f, 5.0f}));
  optimizer.step();
  // `a` goes on with its history of one norm (2, then 4); `b` starts fresh with its own learning rate.
  const double m = (0.6 * 0.4 * 2 + 0.4 * 4) / (1 - 0.36);
  const double v = (0.999 * 0.001 * 4 + 0.001 * 16) / (1 - 0.999 * 0.999);
  EXPECT_NEAR(a[0].item<double>(), -1.0 - m / std::sqrt(v), 1e-6);
  EXPECT_NEAR(b[1].item<double>(), -0.1, 1e-7);
}

TEST(StabilizedTest, MissingGradientsAreLeftOut) {
  torch::Tensor a = parameter({2});
  torch::Tensor b = parameter({2}, 7.0);
  Stabilized<SGD> optimizer(std::vector{a, b}, SGDOptions(1.0));
  set_grad(a, torch::tensor({0.0f, 3.0f}));
  optimizer.step();
  EXPECT_NEAR(a[1].item<double>(), -1.0, 1e-6);
  EXPECT_EQ(b[0].item<float>(), 7.0f);
  EXPECT_FALSE(optimizer.report().tensors[1].present);
}

TEST(StabilizedTest, NonContiguousGradientsGiveTheSameStepAsContiguousOnes) {
  torch::manual_seed(1);
  const torch::Tensor gradient = torch::randn({6, 5});
  const torch::Tensor permuted = gradient.t().contiguous().t();
  const torch::Tensor sliced = torch::cat({gradient, gradient}, 1).slice(1, 0, 5);
  ASSERT_FALSE(permuted.is_contiguous());
  ASSERT_FALSE(sliced.is_contiguous());
  torch::Tensor plain_result;
  for (const torch::Tensor& form : {gradient.clone(), permuted, sliced}) {
    torch::Tensor p = parameter({6, 5});
    Stabilized<SGD> optimizer(std::vector{p}, SGDOptions(1.0));
    set_grad(p, form);
    optimizer.step();
    if (!plain_result.defined()) plain_result = p.detach().clone();
    EXPECT_LE((p.detach() - plain_result).abs().max().item<float>(), 1e-7f);
  }
}

TEST(StabilizedTest, UsesModuleNamesAndReportsByThem) {
  torch::nn::Linear module(3, 2);
  Stabilized<AdamW> optimizer(module->named_parameters(), AdamWOptions(1e-3));
  module->forward(torch::ones({1, 3})).sum().backward();
  optimizer.step();
  EXPECT_EQ(optimizer.registered_parameters()[0].name, "weight");
  EXPECT_EQ(optimizer.registered_parameters()[1].name, "bias");
}

TEST(StabilizedTest, LbfgsStabilizesEveryEvaluationOfItsClosure) {
  torch::Tensor p = parameter({2}, 3.0);
  Stabilized<torch::optim::LBFGS> optimizer(std::vector{p}, torch::optim::LBFGSOptions(0.1));
  int evaluations = 0;
  optimizer.step([&] {
    ++evaluations;
    optimizer.zero_grad();
    torch::Tensor loss = 1e6 * p.square().sum();
    loss.backward();
    return loss;
  });
  EXPECT_GE(evaluations, 1);
  EXPECT_EQ(optimizer.report().step, evaluations);
  EXPECT_LE(norm_of(p.grad()), 15.9);
}

// Row 3: schedulers reject the released wrapper, because it is not an optimizer.
static_assert(std::is_base_of_v<torch::optim::Optimizer, Stabilized<AdamW>>);
static_assert(std::is_base_of_v<AdamW, Stabilized<AdamW>>);

TEST(ReleasedDefectTest, Row4ClosureGradientsAreStabilizedNotTheStaleOnes) {
  torch::Tensor p = parameter({1}, 100.0);
  Stabilized<SGD> optimizer(std::vector{p}, SGDOptions(1.0));
  set_grad(p, torch::tensor({1e-3f}));  // stale
  const torch::Tensor loss = optimizer.step([&] {
    optimizer.zero_grad();
    torch::Tensor value = p.square().sum();
    value.backward();
    return value;
  });
  EXPECT_EQ(loss.item<float>(), 10000.0f);
  EXPECT_NEAR(p.item<double>(), 99.0, 1e-5) << "the raw step would be 200";
  EXPECT_NEAR(optimizer.report().tensors[0].raw_norm, 200.0, 1e-4);
}

TEST(ReleasedDefectTest, Row6HalfPrecisionSpikeBeyondTheDtypesRangeIsStabilized) {
  torch::Tensor p = torch::zeros({4096}, torch::kFloat16).requires_grad_();
  Stabilized<SGD> optimizer(std::vector{p}, SGDOptions(1.0));
  set_grad(p, torch::full({4096}, 60000.0, torch::kFloat16));  // norm 3.84e6, far above 65504
  optimizer.step();
  EXPECT_EQ(optimizer.report().nonfinite, 0u);
  EXPECT_NEAR(optimizer.report().tensors[0].raw_norm, 60000.0 / 64.0 * 64.0 * 64.0, 4096.0);
  EXPECT_NEAR(norm_of(p.grad()), 1.0, 1e-3);
}

TEST(ReleasedDefectTest, Row9And10StateIsNotFoundByAddress) {
  // A new model with parameters where the old ones were starts afresh: 200 times, as in the released code's
  // failure.
  for (int i = 0; i < 200; ++i) {
    torch::Tensor p = parameter({8});
    Stabilized<SGD> optimizer(std::vector{p}, SGDOptions(1.0));
    set_grad(p, torch::full({8}, static_cast<float>(1 + i)));
    optimizer.step();
    ASSERT_NEAR(norm_of(p.grad()), 1.0, 1e-6) << "model " << i;
  }
}

TEST(ReleasedDefectTest, Row11And12NonFiniteGradientNeverReachesTheOptimizer) {
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    torch::Tensor p = parameter({3}, 1.0);
    Stabilized<AdamW> optimizer(std::vector{p}, AdamWOptions(0.01));
    for (int step = 0; step < 5; ++step) {
      set_grad(p, torch::tensor({1.0f, step == 2 ? bad : 2.0f, 3.0f}));
      optimizer.step();
      EXPECT_EQ(optimizer.report().nonfinite, step == 2 ? 1u : 0u);
    }
    EXPECT_TRUE(torch::isfinite(p).all().item<bool>());
  }
}

TEST(ReleasedDefectTest, Row14SparseGradientIsStabilizedLikeItsDenseTwin) {
  // Repeated indices, whose values add up before they have a norm.
  const torch::Tensor indices = torch::tensor({7, 1, 7, 3, 1, 7});
  std::vector<torch::Tensor> weights;
  std::vector<double> raw_norms;
  for (const bool sparse : {true, false}) {
    torch::manual_seed(3);
    torch::nn::Embedding embedding(torch::nn::EmbeddingOptions(10, 4).sparse(sparse));
    Stabilized<SGD> optimizer(embedding->named_parameters(), SGDOptions(0.5));
    for (int step = 0; step < 5; ++step) {
      optimizer.zero_grad();
      if (sparse) embedding->weight.mutable_grad().reset();
      const torch::Tensor scale = torch::arange(1, 5, torch::kFloat32) * std::pow(3.0, step);
      (embedding->forward(indices) * scale).sum().backward();
      ASSERT_EQ(embedding->weight.grad().is_sparse(), sparse);
      optimizer.step();
      raw_norms.push_back(optimizer.report().tensors[0].raw_norm);
      // Growing norms: bounded all the same, and not left unscaled.
      EXPECT_LE(optimizer.report().tensors[0].norm(), step_bound({}, step + 1) * (1 + 1e-12));
    }
    weights.push_back(embedding->weight.detach().clone());
  }
  for (std::size_t step = 0; step < 5; ++step)
    EXPECT_NEAR(raw_norms[step] / raw_norms[step + 5], 1.0, 1e-6) << step;  // float32 sums of three values
  EXPECT_TRUE(torch::allclose(weights[0], weights[1], 1e-6, 1e-6));
  EXPECT_FALSE(torch::allclose(weights[0][7], weights[0][0], 1e-6, 1e-6));
}

TEST(StabilizedTest, SparseTensorThatIsNotCoalescedHasNoNorm) {
  const torch::Tensor sparse =
      torch::sparse_coo_tensor(torch::tensor({{1, 1}}), torch::tensor({1.0f, 2.0f}), {4});
  EXPECT_EQ(tensor_ref(sparse, "weight").status().message(),
            "gradient of 'weight' is sparse and not coalesced; coalesce it first");
  const auto values = tensor_ref(sparse.coalesce(), "weight");
  ASSERT_TRUE(values.ok());
  EXPECT_TRUE(values->sparse_values);
}

TEST(ReleasedDefectTest, Row15Float64HugeGradientDoesNotFreezeTheTensor) {
  torch::Tensor p = torch::zeros({1}, torch::kFloat64).requires_grad_();
  Stabilized<SGD> optimizer(std::vector{p}, SGDOptions(1.0));
  for (int step = 0; step < 3; ++step) {
    set_grad(p, torch::full({1}, 2e30, torch::kFloat64));
    optimizer.step();
    EXPECT_NEAR(optimizer.report().tensors[0].norm(), 1.0, 1e-12);
  }
  EXPECT_NEAR(p.item<double>(), -3.0, 1e-12);
}

TEST(ReleasedDefectTest, Row17ParameterGivenTwiceIsAnError) {
  // Across groups LibTorch itself refuses; within one group it does not.
  torch::Tensor p = parameter({2});
  Stabilized<SGD> optimizer(std::vector{p, p}, SGDOptions(1.0));
  set_grad(p, torch::ones({2}));
  EXPECT_THAT(error_of([&] { optimizer.step(); }), HasSubstr("twice"));
}

TEST(ReleasedDefectTest, Row19PlainOptimizerCheckpointStartsStabilizing) {
  torch::Tensor p = parameter({2}, 1.0);
  std::stringstream archive;
  {
    AdamW plain(std::vector{p}, AdamWOptions(0.1));
    set_grad(p, torch::ones({2}));
    plain.step();
    torch::save(plain, archive);
  }
  Stabilized<AdamW> optimizer(std::vector{p}, AdamWOptions(0.1));
  torch::load(optimizer, archive);
  set_grad(p, torch::full({2}, 50.0f));
  optimizer.step();
  EXPECT_NEAR(norm_of(p.grad()), 1.0, 1e-6);
}

TEST(ReleasedDefectTest, Row20ChangedSettingIsAnErrorOnLoading) {
  torch::Tensor p = parameter({2});
  std::stringstream archive;
  Stabilized<SGD> first(stabilize({.gamma1 = 0.7}), {}, std::vector{p}, SGDOptions(1.0));
  set_grad(p, torch::ones({2}));
  first.step();
  torch::save(first, archive);
  Stabilized<SGD> second(std::vector{p}, SGDOptions(1.0));
  EXPECT_THAT(error_of([&] { torch::load(second, archive); }),
              ::testing::AllOf(HasSubstr("gamma1 = 0.6"), HasSubstr("0.7")));
}

TEST(StabilizedTest, SavedAndLoadedRunEqualsTheUninterruptedOne) {
  const auto run = [](int interrupt_at) {
    torch::manual_seed(3);
    torch::nn::Linear module(5, 4);
    auto optimizer = std::make_unique<Stabilized<AdamW>>(module->named_parameters(), AdamWOptions(0.05));
    for (int step = 0; step < 20; ++step) {
      if (step == interrupt_at) {
        std::stringstream archive;
        torch::save(*optimizer, archive);
        optimizer = std::make_unique<Stabilized<AdamW>>(module->named_parameters(), AdamWOptions(0.05));
        torch::load(*optimizer, archive);
      }
      torch::manual_seed(100 + step);
      optimizer->zero_grad();
      const double scale = step == 7 ? 1e4 : 1.0;
      (module->forward(torch::randn({8, 5})).square().mean() * scale).backward();
      optimizer->step();
    }
    return module->weight.detach().clone();
  };
  const torch::Tensor whole = run(-1);
  EXPECT_TRUE(torch::equal(whole, run(10)));
  EXPECT_TRUE(torch::equal(whole, run(1)));
}

TEST(StabilizedTest, SkipStepPolicyLeavesTheParametersAlone) {
  torch::Tensor a = parameter({2}, 1.0);
  torch::Tensor b = parameter({2}, 1.0);
  Stabilized<AdamW> optimizer(stabilize(), {.nonfinite = NonFinitePolicy::skip_step}, std::vector{a, b},
                              AdamWOptions(0.1));
  set_grad(a, torch::ones({2}));
  set_grad(b, torch::tensor({1.0f, std::nanf("")}));
  optimizer.step();
  EXPECT_TRUE(optimizer.report().skip_step);
  EXPECT_EQ(a[0].item<float>(), 1.0f);
  EXPECT_EQ(b[0].item<float>(), 1.0f);
}

TEST(StabilizedTest, InvalidSettingsAreRefusedWhereTheOptimizerIsMade) {
  torch::Tensor p = parameter({2});
  const auto make = [&] { Stabilized<SGD>(stabilize({.gamma2 = 1.5}), {}, std::vector{p}, SGDOptions(1.0)); };
  EXPECT_THAT(error_of(make), HasSubstr("gamma2 must be in [0, 1), got 1.5"));
}

TEST(StabilizedTest, ResultsDoNotDependOnTheThreadCount) {
  torch::manual_seed(5);
  const torch::Tensor gradient = torch::randn({700, 1000});
  torch::Tensor results[2];
  const int before = at::get_num_threads();
  for (const int threads : {1, 2}) {
    at::set_num_threads(threads);
    torch::Tensor p = parameter({700, 1000});
    Stabilized<SGD> optimizer(std::vector{p}, SGDOptions(1.0));
    set_grad(p, gradient.clone());
    optimizer.step();
    results[threads - 1] = p.detach().clone();
  }
  at::set_num_threads(before);
  EXPECT_TRUE(torch::equal(results[0], results[1]));
}

}  // namespace
}  // namespace gradstab
