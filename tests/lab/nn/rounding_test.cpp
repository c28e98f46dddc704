// The rounding kernels against the conversions of c10::Half and c10::BFloat16, which share nothing with them.
#include <gtest/gtest.h>
#include <torch/torch.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "lab/nn/cpu_kernels.hpp"
#include "lab/nn/low_precision.hpp"

namespace gradstab::lab {
namespace {

/// Every exponent and sign with mantissas all over, and the neighbourhoods of every midpoint between binary16
/// or bfloat16 numbers that a mantissa of few bits has.
std::vector<float> bit_patterns() {
  std::vector<float> values;
  for (std::uint64_t bits = 0; bits < (1ULL << 32U); bits += 4099)
    values.push_back(std::bit_cast<float>(static_cast<std::uint32_t>(bits)));
  for (std::uint32_t high = 0; high < (1U << 16U); ++high) {
    for (const std::uint32_t low :
         {0x0000U, 0x0001U, 0x0FFFU, 0x1000U, 0x1001U, 0x3000U, 0x7FFFU, 0x8000U, 0x8001U})
      values.push_back(std::bit_cast<float>((high << 16U) | low));
  }
  return values;
}

template <class Type>
void expect_rounds_as(const CpuKernels<float>& kernels) {
  const std::vector<float> values = bit_patterns();
  std::vector<float> ours(values.size());
  kernels.round(values.data(), static_cast<std::int64_t>(values.size()), ours.data());
  std::size_t wrong = 0;
  for (std::size_t i = 0; i < values.size(); ++i) {
    const auto expected = static_cast<float>(static_cast<Type>(values[i]));
    const bool same = std::isnan(expected)
                          ? std::isnan(ours[i])
                          : std::bit_cast<std::uint32_t>(expected) == std::bit_cast<std::uint32_t>(ours[i]);
    if (!same && ++wrong < 5) ADD_FAILURE() << values[i] << ": " << ours[i] << ", not " << expected;
  }
  EXPECT_EQ(wrong, 0u);
}

TEST(RoundingTest, EqualsTheConversionsOfC10) {
  expect_rounds_as<c10::Half>(cpu_kernels(Precision::fp16));
  expect_rounds_as<c10::Half>(baseline::kHalfKernels);
  expect_rounds_as<c10::BFloat16>(cpu_kernels(Precision::bf16));
  expect_rounds_as<c10::BFloat16>(baseline::kBFloat16Kernels);
}

TEST(RoundingTest, ValuesWorkedOutByHand) {
  const float inf = std::numeric_limits<float>::infinity();
  const auto half = [](float x) { return rounded(torch::tensor(x), Precision::fp16).item<float>(); };
  EXPECT_EQ(half(65519.996F), 65504.0F);
  EXPECT_EQ(half(65520.0F), inf);
  EXPECT_EQ(half(-65520.0F), -inf);
  EXPECT_EQ(half(std::ldexp(1.0F, -25)), 0.0F);  // halfway to the smallest, ties to even
  EXPECT_EQ(half(std::ldexp(1.0001F, -25)), std::ldexp(1.0F, -24));
  EXPECT_EQ(half(1.0F + std::ldexp(1.0F, -11)), 1.0F);
  EXPECT_EQ(half(1.0F + std::ldexp(3.0F, -11)), 1.0F + std::ldexp(1.0F, -9));
  EXPECT_TRUE(std::isnan(half(std::numeric_limits<float>::quiet_NaN())));
  const auto bfloat = [](float x) { return rounded(torch::tensor(x), Precision::bf16).item<float>(); };
  EXPECT_EQ(bfloat(1.0F + std::ldexp(1.0F, -8)), 1.0F);
  EXPECT_EQ(bfloat(65520.0F), 65536.0F);
  EXPECT_EQ(bfloat(std::numeric_limits<float>::max()), inf);
}

TEST(RoundingTest, Fp32LeavesEverythingAlone) {
  const torch::Tensor x = torch::tensor({1.0000001F, 1e-30F});
  EXPECT_TRUE(rounded(x, Precision::fp32).is_same(x));
  torch::Tensor y = torch::empty_like(x);
  cpu_kernels(Precision::fp32).round(x.data_ptr<float>(), 2, y.data_ptr<float>());
  EXPECT_TRUE(torch::equal(x, y));
}

TEST(RoundingTest, CastsRoundValuesForwardAndGradientsBackward) {
  const float x = 1.0001F;
  const float dy = 1e-8F;  // below half the smallest binary16
  const auto gradient_and_value = [&](auto function) {
    const torch::Tensor leaf = torch::tensor({x}).requires_grad_();
    const torch::Tensor y = function(leaf, Precision::fp16);
    const torch::Tensor dx = torch::autograd::grad({y}, {leaf}, {torch::tensor({dy})})[0];
    return std::pair(dx.item<float>(), y.item<float>());
  };
  EXPECT_EQ(gradient_and_value(round_values), std::pair(dy, 1.0F));
  EXPECT_EQ(gradient_and_value(round_gradient), std::pair(0.0F, x));
  EXPECT_EQ(gradient_and_value(cast), std::pair(0.0F, 1.0F));
}

TEST(RoundingTest, NamesOfThePrecisions) {
  for (const std::string_view name : kPrecisionNames) EXPECT_EQ(to_string(*precision_named(name)), name);
  EXPECT_FALSE(precision_named("fp8"));
  EXPECT_FALSE(precision_named(""));
}

}  // namespace
}  // namespace gradstab::lab
