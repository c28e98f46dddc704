#include "lab/nn/dropout.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace gradstab::lab::nn {
namespace {

using torch::Tensor;

const CounterKey kKey = Draw{1, 2}.key(3);

TEST(DropoutTest, EqualsTheComposition) {
  for (const auto type : {torch::kFloat, torch::kDouble}) {
    const Tensor x = torch::arange(1, 60001, torch::kFloat).view({200, 300}).to(type);
    const Tensor ours = dropout(x, 0.3, kKey);
    // One multiplication by 1/0.7, rounded once.
    EXPECT_TRUE(torch::allclose(ours, composed::dropout(x, 0.3, kKey), 2e-7, 0));
    EXPECT_TRUE(torch::equal(ours == 0, composed::dropout_factors(x, 0.3, kKey) == 0));
    EXPECT_FALSE(torch::equal(ours, dropout(x, 0.3, Draw{1, 3}.key(3))));
    // Masks are numbered in the order of the elements, not of memory.
    EXPECT_TRUE(torch::equal(dropout(x.t().contiguous().t(), 0.3, kKey), ours));
  }
}

TEST(DropoutTest, TheGradientHasTheSameMask) {
  Tensor x = torch::ones({100, 50}, torch::requires_grad());
  const Tensor weight = torch::arange(5000, torch::kFloat).view({100, 50});
  (dropout(x, 0.3, kKey) * weight).sum().backward();
  EXPECT_TRUE(torch::allclose(x.grad(), weight * composed::dropout_factors(weight, 0.3, kKey), 2e-7, 0));
}

TEST(DropoutTest, IsTheSameForEveryNumberOfThreads) {
  const Tensor x = torch::arange(1, 60001, torch::kFloat);
  const int before = torch::get_num_threads();
  torch::set_num_threads(1);
  const Tensor one = dropout(x, 0.3, kKey);
  torch::set_num_threads(3);
  const Tensor three = dropout(x, 0.3, kKey);
  torch::set_num_threads(before);
  EXPECT_TRUE(torch::equal(one, three));
}

TEST(DropoutTest, RateZeroAndInfinity) {
  const Tensor x = torch::ones({10});
  EXPECT_TRUE(dropout(x, 0, kKey).is_same(x));
  const Tensor infinite = torch::full({1000}, std::numeric_limits<float>::infinity());
  EXPECT_FALSE(dropout(infinite, 0.5, kKey).isnan().any().item<bool>());  // dropped means gone
}

TEST(DropoutTest, RatesOutsideTheirRangeThrow) {
  const Tensor x = torch::ones({10});
  for (const double rate : {-0.1, 1.0, std::nan("")})
    EXPECT_THROW(dropout(x, rate, kKey), c10::Error) << rate;
}

TEST(DropoutTest, HasNoSecondDerivative) {
  const Tensor x = torch::ones({10}, torch::requires_grad());
  const Tensor y = dropout(x, 0.5, kKey).sum();
  EXPECT_THROW(torch::autograd::grad({y}, {x}, {}, true, true), c10::Error);
}

}  // namespace
}  // namespace gradstab::lab::nn
