// What devices compute, on the CPU: products in real 16-bit types against those simulated in f32.
#include <gtest/gtest.h>
#include <torch/version.h>

#include <cmath>
#include <functional>
#include <string>
#include <vector>

#include "lab/llm/llama_functions.hpp"
#include "lab/nn/low_precision.hpp"

namespace gradstab::lab {
namespace {

using torch::Tensor;
using Inputs = std::vector<Tensor>;
using Function = std::function<Tensor(const Inputs&, Precision)>;

/// Those whose matrices the CPU multiplies.
#if TORCH_VERSION_MAJOR >= 2
constexpr Precision kFormats[] = {Precision::bf16, Precision::fp16};
#else
constexpr Precision kFormats[] = {Precision::bf16};
#endif

/// Largest relative error of one rounding.
constexpr double unit_roundoff(Precision precision) {
  return precision == Precision::fp16 ? 1.0 / 2048 : 1.0 / 256;
}
constexpr double kRoundoff = unit_roundoff(Precision::bf16);

Tensor random_tensor(std::vector<std::int64_t> sizes, std::uint64_t seed) {
  return torch::randn(sizes, torch::make_generator<torch::CPUGeneratorImpl>(seed), torch::kFloat);
}

struct Case {
  std::string name;
  Function node, device;
  Inputs inputs;
  bool loss = false;  // an f32 scalar
  /// Roundings on the longest way from an input to a result, and so the tolerance: they add up at worst, and
  /// where the two ways round in the same places, they differ only where sums do.
  double roundings = 4;
};

std::vector<Case> cases() {
  const RotaryTable table = rotary_table(40, 12, 10000.0, torch::kFloat);
  const Tensor targets = torch::arange(30).remainder(11).index_put_({torch::tensor({3, 17})}, -1);
  return {{"stacked_linear",
           [](const Inputs& in, Precision p) {
             return stacked_linear(in[0], {in[1], in[2]}, p);
           },
           [](const Inputs& in, Precision p) {
             return on_device::stacked_linear(in[0], {in[1], in[2]}, p);
           },
           {random_tensor({30, 13}, 1), random_tensor({8, 13}, 2), random_tensor({5, 13}, 3)}},
          {"one weight",
           [](const Inputs& in, Precision p) { return stacked_linear(in[0], {in[1]}, p); },
           [](const Inputs& in, Precision p) { return on_device::stacked_linear(in[0], {in[1]}, p); },
           {random_tensor({30, 130}, 1), random_tensor({8, 130}, 2)}},
          {"swiglu",
           [](const Inputs& in, Precision p) { return swiglu(in[0], p); },
           [](const Inputs& in, Precision p) { return on_device::swiglu(in[0], p); },
           {random_tensor({30, 26}, 4)}},
          {"attention",
           [=](const Inputs& in, Precision p) { return causal_attention(in[0], table, 3, p); },
           [=](const Inputs& in, Precision p) { return on_device::causal_attention(in[0], table, 3, p); },
           {random_tensor({80, 108}, 5)},
           false,
           8},
          {"cross-entropy",
           [=](const Inputs& in, Precision p) { return linear_cross_entropy(in[0], in[1], targets, p); },
           // 22 elements: slices of two rows.
           [=](const Inputs& in, Precision p) {
             return on_device::linear_cross_entropy(in[0], in[1], targets, p, 22);
           },
           {random_tensor({30, 5}, 6), random_tensor({11, 5}, 7)},
           true}};
}

/// Output and the gradients of sum(output * fixed random weights).
Inputs run(const Function& function, const Inputs& inputs, Precision precision) {
  Inputs leaves;
  for (const Tensor& input : inputs)
    leaves.push_back(rounded(input, Precision::bf16).detach().clone().requires_grad_());
  const Tensor out = function(leaves, precision);
  const Tensor weights = random_tensor(out.sizes().vec(), 77);
  Inputs results = torch::autograd::grad({(out.to(torch::kFloat) * weights).sum()}, leaves);
  results.insert(results.begin(), out.detach());
  return results;
}

double relative_difference(const Tensor& a, const Tensor& b) {
  const Tensor wide = b.to(torch::kDouble);
  return ((a.to(torch::kDouble) - wide).norm() / wide.norm()).item<double>();
}

TEST(DeviceFunctionsTest, RealTypesAreWhatIsSimulated) {
  for (const Precision precision : kFormats) {
    for (const Case& c : cases()) {
      const double tolerance = c.roundings * unit_roundoff(precision);
      const Inputs ours = run(c.device, c.inputs, precision);
      const Inputs expected = run(c.node, c.inputs, precision);
      const auto type = precision == Precision::fp16 ? torch::kHalf : torch::kBFloat16;
      EXPECT_EQ(ours[0].scalar_type(), c.loss ? torch::kFloat : type) << c.name;
      for (std::size_t i = 0; i < ours.size(); ++i) {
        const std::string where =
            c.name + " in " + std::string(to_string(precision)) + ", result " + std::to_string(i);
        if (i > 0) {
          EXPECT_EQ(ours[i].scalar_type(), torch::kFloat) << where;
        }
        EXPECT_LT(relative_difference(ours[i], expected[i]), tolerance) << where;
        // Negative control: a result that is off by a bit more than that is seen.
        const Tensor off = ours[i].to(torch::kFloat) * (1 + 3 * tolerance);
        EXPECT_GT(relative_difference(off, expected[i]), tolerance) << where;
      }
    }
  }
}

TEST(DeviceFunctionsTest, ProductsAreRoundedToTheType) {
  // Outputs and gradients of weights are of bfloat16 values; in f32 they are not.
  const Case c = cases().front();
  const auto fit = [](const Tensor& x) {
    return torch::equal(x.to(torch::kFloat), rounded(x.to(torch::kFloat), Precision::bf16));
  };
  for (const Tensor& result : run(c.device, c.inputs, Precision::bf16)) EXPECT_TRUE(fit(result));
  for (const Tensor& result : run(c.device, c.inputs, Precision::fp32)) EXPECT_FALSE(fit(result));
}

TEST(DeviceFunctionsTest, Fp32IsThatOfTheNodes) {
  // A random walk through the longest sum, and a few dozen further roundings.
  const double tolerance = (32 + 4 * std::sqrt(130.0)) * std::ldexp(1.0, -23);
  for (const Case& c : cases()) {
    const Inputs ours = run(c.device, c.inputs, Precision::fp32);
    const Inputs expected = run(c.node, c.inputs, Precision::fp32);
    const Inputs coarse = run(c.node, c.inputs, Precision::bf16);
    for (std::size_t i = 0; i < ours.size(); ++i) {
      EXPECT_EQ(ours[i].scalar_type(), torch::kFloat);
      EXPECT_LT(relative_difference(ours[i], expected[i]), tolerance) << c.name << ", result " << i;
      EXPECT_GT(relative_difference(coarse[i], expected[i]), tolerance) << c.name << ", result " << i;
    }
  }
}

TEST(DeviceFunctionsTest, SlicesOfTheLossAreInvisible) {
  const Tensor x = random_tensor({30, 5}, 6).requires_grad_();
  const Tensor weight = random_tensor({11, 5}, 7).requires_grad_();
  const Tensor targets = torch::arange(30).remainder(11).index_put_({torch::tensor({0, 29})}, -1);
  const auto results = [&](std::int64_t slice_elements) {
    const Tensor loss = on_device::linear_cross_entropy(x, weight, targets, Precision::fp32, slice_elements);
    Inputs all = torch::autograd::grad({loss}, {x, weight});
    all.push_back(loss);
    return all;
  };
  const Inputs whole = results(1 << 20);
  for (const std::int64_t elements : {1, 33, 77, 329}) {
    const Inputs sliced = results(elements);
    // The order of at most 30 additions.
    for (std::size_t i = 0; i < whole.size(); ++i)
      EXPECT_LT(relative_difference(sliced[i], whole[i]), 30 * std::ldexp(1.0, -23)) << elements;
  }
}

TEST(DeviceFunctionsTest, TheScaleOfTheLossReachesItsGradients) {
  // Class 1 has a probability of e^-80.
  const Tensor weight = torch::tensor({{80.0F}, {0.0F}}).requires_grad_();
  for (const float scale : {1.0F, 65536.0F, 1e-3F}) {
    const Tensor loss = on_device::linear_cross_entropy(torch::ones({1, 1}), weight,
                                                        torch::zeros({1}, torch::kLong), Precision::bf16);
    const double gradient = torch::autograd::grad({loss * scale}, {weight})[0][1].item<double>();
    const double expected = static_cast<double>(scale) * std::exp(-80.0);
    EXPECT_NEAR(gradient, expected, kRoundoff * expected);
  }
}

TEST(DeviceFunctionsTest, LossWithoutCountedTargetsIsNanAndHasNoGradients) {
  const Tensor x = random_tensor({2, 3}, 1).requires_grad_();
  const Tensor loss = on_device::linear_cross_entropy(x, random_tensor({4, 3}, 2),
                                                      torch::full({2}, -1, torch::kLong), Precision::bf16);
  EXPECT_TRUE(std::isnan(loss.item<float>()));
  EXPECT_EQ(torch::autograd::grad({loss}, {x})[0].abs().max().item<float>(), 0.0F);
}

TEST(DeviceFunctionsTest, TargetsThatDoNotFitAreRefused) {
  const auto loss = [](std::int64_t rows, std::vector<std::int64_t> targets) {
    return on_device::linear_cross_entropy(torch::ones({rows, 3}), torch::ones({4, 3}),
                                           torch::tensor(targets), Precision::bf16);
  };
  EXPECT_THROW(loss(2, {1}), c10::Error);
  EXPECT_THROW(loss(0, {}), c10::Error);
  EXPECT_THROW(loss(1, {4}), c10::Error);  // seen by the CPU; a device stops with an assertion of its own
  EXPECT_NEAR(loss(1, {3}).item<double>(), std::log(4.0), 1e-6);
}

TEST(DeviceFunctionsTest, AttentionLooksBackOnly) {
  const RotaryTable table = rotary_table(16, 8, 10000.0, torch::kFloat);
  const Tensor qkv = random_tensor({16, 48}, 3);
  const Tensor before = on_device::causal_attention(qkv, table, 2, Precision::bf16);
  Tensor changed = qkv.clone();
  changed[10] += 1.0F;
  const Tensor after = on_device::causal_attention(changed, table, 2, Precision::bf16);
  EXPECT_TRUE(torch::equal(after.narrow(0, 0, 10), before.narrow(0, 0, 10)));
  for (std::int64_t row = 10; row < 16; ++row) EXPECT_FALSE(torch::equal(after[row], before[row])) << row;
}

TEST(DeviceFunctionsTest, TheRestOfABlockTakesTheirResults) {
  // As LlamaImpl joins them: f32 residual stream, norms in f32, gradients of every weight in f32.
  const RotaryTable table = rotary_table(8, 8, 10000.0, torch::kFloat);
  const auto leaf = [](std::vector<std::int64_t> sizes, std::uint64_t seed) {
    return (random_tensor(std::move(sizes), seed) * 0.2F).detach().requires_grad_();
  };
  const Inputs weights = {leaf({48, 16}, 1), leaf({16, 16}, 2), leaf({40, 16}, 3), leaf({16, 20}, 4),
                          leaf({11, 16}, 5)};
  const Tensor gain = torch::ones({16}).requires_grad_();
  const Tensor embedded = random_tensor({16, 16}, 6);
  const Tensor targets = torch::arange(16).remainder(11);
  const auto block = [&](bool device) {
    constexpr Precision kFormat = Precision::bf16;
    const auto linear = [&](const Tensor& in, std::size_t i) {
      return device ? on_device::stacked_linear(in, {weights[i]}, kFormat)
                    : stacked_linear(in, {weights[i]}, kFormat);
    };
    const auto norm = [&](const Tensor& in) {
      return device ? composed::rms_norm(in, gain, 1e-6) : rms_norm(in, gain, 1e-6);
    };
    const Tensor qkv = linear(norm(embedded), 0);
    Tensor x = embedded + linear(device ? on_device::causal_attention(qkv, table, 2, kFormat)
                                        : causal_attention(qkv, table, 2, kFormat),
                                 1);
    const Tensor gate_up = linear(norm(x), 2);
    x = x + linear(device ? on_device::swiglu(gate_up, kFormat) : swiglu(gate_up, kFormat), 3);
    EXPECT_EQ(x.scalar_type(), torch::kFloat);
    const Tensor loss = device ? on_device::linear_cross_entropy(norm(x), weights[4], targets, kFormat)
                               : linear_cross_entropy(norm(x), weights[4], targets, kFormat);
    Inputs leaves = weights;
    leaves.push_back(gain);
    Inputs results = torch::autograd::grad({loss}, leaves);
    results.push_back(loss.detach());
    return results;
  };
  const Inputs ours = block(true);
  const Inputs expected = block(false);
  for (std::size_t i = 0; i < ours.size(); ++i) {
    EXPECT_EQ(ours[i].scalar_type(), torch::kFloat) << i;
    // Some 20 roundings lie between a weight and the loss.
    EXPECT_LT(relative_difference(ours[i], expected[i]), 20 * kRoundoff) << i;
    EXPECT_GT(relative_difference(ours[i] * 1.2F, expected[i]), 20 * kRoundoff) << i;
  }
}

}  // namespace
}  // namespace gradstab::lab
