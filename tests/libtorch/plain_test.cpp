// Gradients and parameters whose memory does not hold what they are: lazily negated or conjugated, zeros
// without memory, complex, with shared or missing memory.
#include <gtest/gtest.h>
#include <torch/torch.h>

#include <functional>
#include <string>
#include <vector>

#include "aten/plain_tensors.hpp"
#include "aten/tensor.hpp"
#include "gradstab/libtorch.hpp"
#include "gradstab/libtorch_fused.hpp"

namespace gradstab {
namespace {

using Lazy = std::function<torch::Tensor(const torch::Tensor&)>;

torch::Tensor numbers(std::int64_t seed, at::IntArrayRef shape = {4, 3}) {
  torch::manual_seed(static_cast<std::uint64_t>(seed));
  return torch::randn(shape);
}

torch::Tensor lazily_negated(const torch::Tensor& value) {
  return torch::imag(torch::complex(torch::zeros_like(value), -value).conj());
}

torch::Tensor zero_tensor(const torch::Tensor& value) {
  return at::_efficientzerotensor(value.sizes(), value.options());
}

torch::Tensor expanded(const torch::Tensor& value) {
  return value.slice(0, 0, 1).expand(value.sizes());
}

torch::Tensor in_pieces(const torch::Tensor& value) {
  torch::Tensor wide = torch::zeros({value.size(0), 2 * value.size(1)});
  torch::Tensor pieces = wide.slice(1, 0, 2 * value.size(1), 2);
  pieces.copy_(value);
  return pieces;
}

/// The same numbers in memory of their own.
Lazy in_memory(const Lazy& lazy) {
  return [lazy](const torch::Tensor& value) { return (lazy(value) + 0).contiguous(); };
}

template <class Optimizer>
torch::Tensor trained(Optimizer make, const Lazy& lazy) {
  torch::Tensor parameter = numbers(9).requires_grad_();
  auto optimizer = make(parameter);
  for (int step = 0; step < 3; ++step) {
    parameter.mutable_grad() = lazy(numbers(step));
    optimizer->step();
  }
  return parameter.detach();
}

auto fused(GradientTransform (*transform)()) {
  return [transform](const torch::Tensor& parameter) {
    return std::make_unique<FusedAdamW>(std::vector<torch::Tensor>{parameter},
                                        torch::optim::AdamWOptions(0.1),
                                        FusedSettings{.transform = transform()});
  };
}

auto stabilized = [](const torch::Tensor& parameter) {
  return std::make_unique<Stabilized<torch::optim::SGD>>(std::vector<torch::Tensor>{parameter},
                                                         torch::optim::SGDOptions(0.1));
};

TEST(Plain, GradientsCountAsTheirNumbers) {
  for (const Lazy& lazy : {Lazy(lazily_negated), Lazy(zero_tensor), Lazy(expanded)}) {
    EXPECT_TRUE(trained(fused([] { return stabilize(); }), lazy)
                    .equal(trained(fused([] { return stabilize(); }), in_memory(lazy))));
    const auto elements = [] { return chain(clip_by_value(0.3), stabilize()); };
    EXPECT_TRUE(trained(fused(elements), lazy).equal(trained(fused(elements), in_memory(lazy))));
    EXPECT_TRUE(trained(stabilized, lazy).equal(trained(stabilized, in_memory(lazy))));
  }
  // Negative control: what lies in memory has the other sign.
  const Lazy turned = [](const torch::Tensor& value) { return -value; };
  EXPECT_GT((trained(stabilized, lazily_negated) - trained(stabilized, turned)).abs().max().item<double>(),
            0.1);
}

TEST(Plain, BackwardStepsWithThem) {
  torch::Tensor parameter = torch::full({}, 0.3).requires_grad_();
  FusedSGD optimizer(std::vector<torch::Tensor>{parameter}, torch::optim::SGDOptions(0.1),
                     FusedSettings{.transform = std::nullopt});
  BackwardStepper stepper(optimizer);
  double expected = 0.3;
  for (int step = 0; step < 4; ++step) {
    // The gradient of a scalar that was conjugated is lazily negated.
    (torch::imag(torch::complex(torch::ones({}), parameter).conj()) + 1.0).square().backward();
    expected -= 0.1 * -2.0 * (1.0 - expected);
    EXPECT_NEAR(parameter.item<double>(), expected, 1e-6);
  }
}

TEST(Plain, ParametersCountAsTheirNumbers) {
  for (const Lazy& lazy : {Lazy(lazily_negated), Lazy(in_pieces)}) {
    std::vector<torch::Tensor> results;
    for (const Lazy& form : {lazy, in_memory(lazy)}) {
      torch::Tensor parameter = form(numbers(9)).detach().requires_grad_();
      FusedAdamW optimizer(std::vector<torch::Tensor>{parameter}, torch::optim::AdamWOptions(0.1));
      for (int step = 0; step < 3; ++step) {
        parameter.mutable_grad() = numbers(step);
        optimizer.step();
      }
      results.push_back(parameter.detach() + 0);
    }
    EXPECT_TRUE(results[0].equal(results[1]));
  }
}

TEST(Plain, ComplexParametersArePairsOfReals) {
  torch::manual_seed(0);
  const torch::Tensor start = torch::randn({3, 4}, torch::kComplexDouble);
  torch::Tensor parameter = start.clone().requires_grad_();
  torch::Tensor twin = torch::view_as_real(start).clone().requires_grad_();
  FusedAdamW optimizer(std::vector<torch::Tensor>{parameter}, torch::optim::AdamWOptions(0.1));
  FusedAdamW reference(std::vector<torch::Tensor>{twin}, torch::optim::AdamWOptions(0.1));
  for (int step = 0; step < 4; ++step) {
    const torch::Tensor gradient = torch::randn({3, 4}, torch::kComplexDouble);
    parameter.mutable_grad() = gradient.conj().resolve_conj().conj();
    ASSERT_TRUE(parameter.grad().is_conj());
    twin.mutable_grad() = torch::view_as_real(gradient).clone();
    optimizer.step();
    reference.step();
  }
  EXPECT_TRUE(torch::view_as_real(parameter.detach()).equal(twin.detach()));
  EXPECT_EQ(optimizer.registered_parameters()[0].sizes, (std::vector<std::int64_t>{3, 4, 2}));
}

TEST(Plain, SparseGradientsOfSgdAreMadeDenseAndOthersRefused) {
  const auto gradient = [] {
    return torch::sparse_coo_tensor(torch::tensor({{1, 1, 3}}, torch::kLong), torch::ones({3, 3}), {4, 3});
  };
  torch::Tensor parameter = torch::zeros({4, 3}).requires_grad_();
  FusedSGD optimizer(std::vector<torch::Tensor>{parameter}, torch::optim::SGDOptions(0.5),
                     FusedSettings{.transform = std::nullopt});
  parameter.mutable_grad() = gradient();
  optimizer.step();
  EXPECT_TRUE(parameter.detach().equal(-0.5 * gradient().to_dense()));
  FusedAdamW adam(std::vector<torch::Tensor>{parameter}, torch::optim::AdamWOptions(0.5));
  try {
    adam.step();
    FAIL() << "a sparse gradient was taken";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), StatusCode::unsupported);
    EXPECT_NE(std::string(error.what()).find("gradient of 'group0.parameter0' is sparse"), std::string::npos);
  }
}

TEST(Plain, WhatHasNoMemoryIsRefusedByNameWithARemedy) {
  struct Case {
    torch::Tensor tensor;
    const char* what;
  };
  torch::Tensor freed = torch::ones({4, 3});
  freed.storage().unsafeGetStorageImpl()->set_data_ptr(at::DataPtr(nullptr, at::kCPU));
  for (const Case& each :
       {Case{torch::empty({4, 3}, torch::kMeta), "is on device meta"},
        Case{torch::eye(4, 3).to_sparse_csr(), "has a layout"},
        Case{torch::quantize_per_tensor(torch::ones({4, 3}), 0.1, 0, torch::kQInt8), "is quantized"},
        Case{zero_tensor(torch::ones({4, 3})), "is a ZeroTensor"},
        Case{lazily_negated(torch::ones({4, 3})), "is a lazy view"},
        Case{torch::ones({4, 3}, torch::kComplexFloat), "is complex"}, Case{freed, "has no memory"}}) {
    const auto reference = tensor_ref(each.tensor, "weight");
    ASSERT_FALSE(reference.ok()) << each.what;
    EXPECT_EQ(reference.status().code(), StatusCode::unsupported);
    EXPECT_EQ(reference.status().message().find("gradient of 'weight' " + std::string(each.what)), 0u)
        << reference.status().message();
  }
  EXPECT_TRUE(tensor_ref(torch::ones({4, 3}), "weight").ok());
}

/// A parameter that is replaced by one of another shape, or of the same one, starts afresh; the others go on.
TEST(Plain, ReplacedParametersStartAfresh) {
  for (const std::int64_t rows : {7, 5}) {
    torch::Tensor grown = torch::ones({5, 3}).requires_grad_();
    torch::Tensor stays = torch::ones({2, 2}).requires_grad_();
    FusedAdamW optimizer(std::vector<torch::Tensor>{grown, stays}, torch::optim::AdamWOptions(0.1));
    Stabilized<torch::optim::SGD> front(std::vector<torch::Tensor>{grown, stays},
                                        torch::optim::SGDOptions(0.1));
    for (int step = 0; step < 3; ++step) {
      for (torch::Tensor* each : {&grown, &stays})
        each->mutable_grad() = torch::full(each->sizes(), 1.0 + step);
      optimizer.step();
      front.step();
    }
    torch::Tensor fresh = torch::ones({rows, 3}).requires_grad_();
    torch::Tensor alone = torch::ones({rows, 3}).requires_grad_();
    optimizer.param_groups()[0].params()[0] = fresh;
    front.param_groups()[0].params()[0] = fresh;
    fresh.mutable_grad() = torch::ones({rows, 3});
    alone.mutable_grad() = torch::ones({rows, 3});
    optimizer.step();
    FusedAdamW other(std::vector<torch::Tensor>{alone}, torch::optim::AdamWOptions(0.1));
    other.step();
    EXPECT_TRUE(fresh.detach().equal(alone.detach()));
    front.step();
    EXPECT_NEAR(front.report().tensors[0].norm(), 1.0, 1e-6) << "statistics of its own";
    torch::serialize::OutputArchive archive;
    optimizer.save(archive);
  }
}

}  // namespace
}  // namespace gradstab
