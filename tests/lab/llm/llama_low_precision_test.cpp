// The functions of a LLaMA block in bfloat16 and binary16.
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "lab/llm/llama.hpp"
#include "lab/llm/llama_functions.hpp"
#include "lab/nn/low_precision.hpp"

namespace gradstab::lab {
namespace {

using torch::Tensor;
using Inputs = std::vector<Tensor>;
using Function = std::function<Tensor(const Inputs&, Precision)>;

constexpr Precision kFormats[] = {Precision::bf16, Precision::fp16};

/// Largest relative error of one rounding.
double unit_roundoff(Precision precision) {
  return std::ldexp(1.0, precision == Precision::fp16 ? -11 : -8);
}

Tensor random_tensor(std::vector<std::int64_t> sizes, std::uint64_t seed) {
  auto generator = torch::make_generator<torch::CPUGeneratorImpl>(seed);
  return torch::randn(sizes, generator, torch::kFloat);
}

/// By c10's conversion, in double.
Tensor rounded_by_c10(const Tensor& x, Precision precision) {
  return x.detach().to(precision == Precision::fp16 ? torch::kHalf : torch::kBFloat16).to(torch::kDouble);
}

/// How far y may be from a b, computed in double from operands that the format has: one rounding of the
/// result and the worst case of n additions in float.
Tensor product_tolerance(const Tensor& a, const Tensor& b, Precision precision) {
  const auto additions = static_cast<double>(a.size(1));
  const double smallest_half_step = precision == Precision::fp16 ? std::ldexp(1.0, -25) : 0.0;
  const double roundoff = unit_roundoff(precision);
  return torch::mm(a, b).abs() * roundoff +
         torch::mm(a.abs(), b.abs()) * (additions * std::ldexp(1.0, -24) * (1 + roundoff)) +
         smallest_half_step;
}

/// Whether y is a b within that tolerance, everywhere.
bool is_product(const Tensor& y, const Tensor& a, const Tensor& b, Precision precision) {
  const Tensor error = (y.detach().to(torch::kDouble) - torch::mm(a, b)).abs();
  return error.le(product_tolerance(a, b, precision)).all().item<bool>();
}

bool has_only_values_of(const Tensor& x, Precision precision) {
  return torch::equal(rounded_by_c10(x, precision), x.detach().to(torch::kDouble));
}

struct LinearRun {
  Tensor x, weight, dy, y, dx, dweight;
};

/// A linear layer of two stacked weights and its gradients.
LinearRun run_linear(Precision precision) {
  LinearRun run;
  run.x = random_tensor({9, 130}, 1).requires_grad_();
  const Tensor upper = random_tensor({5, 130}, 2).requires_grad_();
  const Tensor lower = random_tensor({8, 130}, 3).requires_grad_();
  run.y = stacked_linear(run.x, {upper, lower}, precision);
  run.dy = random_tensor({9, 13}, 4);
  const auto gradients = torch::autograd::grad({run.y}, {run.x, upper, lower}, {run.dy});
  run.weight = torch::cat({upper, lower}).detach();
  run.dx = gradients[0];
  run.dweight = torch::cat({gradients[1], gradients[2]});
  return run;
}

TEST(LowPrecisionTest, LinearLayerIsThatOfRoundedOperands) {
  for (const Precision precision : kFormats) {
    const LinearRun run = run_linear(precision);
    const Tensor x = rounded_by_c10(run.x, precision);
    const Tensor weight = rounded_by_c10(run.weight, precision);
    const Tensor dy = rounded_by_c10(run.dy, precision);
    const auto right = [&](const LinearRun& of) {
      return std::vector<bool>{is_product(of.y, x, weight.t(), precision),
                               is_product(of.dx, dy, weight, precision),
                               is_product(of.dweight, dy.t(), x, precision)};
    };
    EXPECT_EQ(right(run), std::vector<bool>(3, true)) << to_string(precision);
    for (const Tensor& result : {run.y, run.dx, run.dweight}) {
      EXPECT_EQ(result.scalar_type(), torch::kFloat);
      EXPECT_TRUE(has_only_values_of(result, precision)) << to_string(precision);
    }
    // Negative controls: neither f32 nor the other format passes.
    const Precision other = precision == Precision::fp16 ? Precision::bf16 : Precision::fp16;
    EXPECT_EQ(right(run_linear(Precision::fp32)), std::vector<bool>(3, false)) << to_string(precision);
    EXPECT_EQ(right(run_linear(other)), std::vector<bool>(3, false)) << to_string(precision);
  }
}

TEST(LowPrecisionTest, HalfOverflowsAndUnderflows) {
  const Tensor weight = torch::full({1, 1}, 2.0F).requires_grad_();
  const auto linear = [&](float x, float dy, Precision precision) {
    const Tensor input = torch::full({1, 1}, x).requires_grad_();
    const Tensor y = stacked_linear(input, {weight}, precision);
    const auto gradients = torch::autograd::grad({y}, {input, weight}, {torch::full({1, 1}, dy)});
    return std::vector<float>{y.item<float>(), gradients[0].item<float>(), gradients[1].item<float>()};
  };
  const float inf = std::numeric_limits<float>::infinity();
  EXPECT_EQ(linear(40000, 4, Precision::fp16), (std::vector<float>{inf, 8, inf}));
  EXPECT_EQ(linear(40960, 4, Precision::bf16), (std::vector<float>{81920, 8, 163840}));
  // 2^-26 is nothing in binary16; after scaling by 2^16 it is an ordinary number.
  const float tiny = std::ldexp(1.0F, -26);
  EXPECT_EQ(linear(1, tiny, Precision::fp16), (std::vector<float>{2, 0, 0}));
  EXPECT_EQ(linear(1, tiny * 65536, Precision::fp16),
            (std::vector<float>{2, std::ldexp(1.0F, -9), std::ldexp(1.0F, -10)}));
  EXPECT_EQ(linear(1, tiny, Precision::bf16), (std::vector<float>{2, 2 * tiny, tiny}));
}

struct Case {
  std::string name;
  Function node, composition;
  Inputs inputs;
  bool loss = false;  // the result is not rounded
};

std::vector<Case> cases(Precision precision) {
  const auto in_format = [&](const Tensor& x) { return rounded_by_c10(x, precision).to(torch::kFloat); };
  const RotaryTable table = rotary_table(40, 12, 10000.0, torch::kFloat);
  const RotaryTable wide_table = {table.cosine.to(torch::kDouble), table.sine.to(torch::kDouble)};
  const Tensor targets = torch::arange(30).remainder(11).index_put_({torch::tensor({3, 17})}, -1);
  return {{"stacked_linear",
           [](const Inputs& in, Precision p) {
             return stacked_linear(in[0], {in[1], in[2]}, p);
           },
           [](const Inputs& in, Precision p) {
             return composed::stacked_linear(in[0], {in[1], in[2]}, p);
           },
           {random_tensor({30, 13}, 1), random_tensor({8, 13}, 2), random_tensor({5, 13}, 3)}},
          {"swiglu",
           [](const Inputs& in, Precision p) { return swiglu(in[0], p); },
           [](const Inputs& in, Precision p) { return composed::swiglu(in[0], p); },
           {in_format(random_tensor({30, 26}, 4))}},
          {"attention",
           [=](const Inputs& in, Precision p) { return causal_attention(in[0], table, 2, p); },
           [=](const Inputs& in, Precision p) { return composed::causal_attention(in[0], wide_table, 2, p); },
           {in_format(random_tensor({80, 72}, 5))}},
          {"cross-entropy",
           [=](const Inputs& in, Precision p) { return linear_cross_entropy(in[0], in[1], targets, p); },
           [=](const Inputs& in, Precision p) {
             return composed::linear_cross_entropy(in[0], in[1], targets, p);
           },
           {random_tensor({30, 13}, 6), random_tensor({11, 13}, 7)},
           true}};
}

/// The result and the gradients of its product with fixed numbers that the format has.
Inputs run(const Function& function, const Inputs& inputs, Precision precision, Precision gradient_format) {
  Inputs leaves;
  for (const Tensor& input : inputs) leaves.push_back(input.detach().clone().requires_grad_());
  const Tensor out = function(leaves, precision);
  const Tensor dy = rounded_by_c10(random_tensor(out.sizes().vec(), 77), gradient_format) * 16;
  Inputs results = torch::autograd::grad({out}, leaves, {dy.to(out.scalar_type())});
  results.insert(results.begin(), out.detach());
  return results;
}

double equal_share(const Tensor& a, const Tensor& b, Precision precision) {
  return rounded_by_c10(a, precision)
      .eq(rounded_by_c10(b, precision))
      .to(torch::kDouble)
      .mean()
      .item<double>();
}

// Results of the nodes and of the compositions in double, with the same values rounded, can differ only where
// a sum in float and one in double lie on two sides of a midpoint: the error of such a sum, some 2^-22 of it,
// against a spacing of 2^-11 or more makes that one in hundreds per rounding. Rounding in other places makes
// every second value another one.
TEST(LowPrecisionTest, NodesRoundWhereTheCompositionsDo) {
  for (const Precision precision : kFormats) {
    for (const Case& c : cases(precision)) {
      Inputs wide;
      for (const Tensor& input : c.inputs) wide.push_back(input.to(torch::kDouble));
      const Inputs ours = run(c.node, c.inputs, precision, precision);
      const Inputs expected = run(c.composition, wide, precision, precision);
      const Inputs unrounded = run(c.node, c.inputs, Precision::fp32, precision);
      for (std::size_t i = 0; i < ours.size(); ++i) {
        const std::string where =
            c.name + " in " + std::string(to_string(precision)) + ", result " + std::to_string(i);
        const double largest = expected[i].abs().max().item<double>();
        const double error = (ours[i].to(torch::kDouble) - expected[i]).abs().max().item<double>();
        EXPECT_LT(error, 4 * unit_roundoff(precision) * largest) << where;
        if (i == 0 && c.loss) continue;
        EXPECT_TRUE(has_only_values_of(ours[i], precision)) << where;
        // The kernel rounds probabilities before it divides by their sum, the composition after.
        if (i == 0 && c.name == "attention") continue;
        EXPECT_GT(equal_share(ours[i], expected[i], precision), 0.97) << where;
        EXPECT_LT(equal_share(unrounded[i], expected[i], precision), 0.9) << where;
      }
    }
  }
}

TEST(LowPrecisionTest, ProbabilitiesBelowTheFormatCountForNothing) {
  // The second query scores -18 with the first key and 0 with the second, so the first value counts e^-18 =
  // 1.5e-8: below half the smallest binary16, yet no little of a value of 60000 in f32.
  const double score_gap = 18.0;
  const float root = std::sqrt(2.0F);
  const Tensor qkv = torch::zeros({2, 6});
  qkv[1][0] = root;
  const RotaryTable unturned = {torch::ones({2, 1}), torch::zeros({2, 1})};
  qkv[0][2] = -static_cast<float>(score_gap);  // first key
  qkv[0][4] = 60000.0F;                        // first value
  const auto second_output = [&](Precision precision) {
    return causal_attention(rounded(qkv, precision), unturned, 1, precision)[1][0].item<double>();
  };
  const double expected = 60000.0 * std::exp(-score_gap);
  EXPECT_NEAR(second_output(Precision::fp32), expected, 1e-4 * expected);
  EXPECT_NEAR(second_output(Precision::bf16), expected, 3e-2 * expected);
  EXPECT_EQ(second_output(Precision::fp16), 0.0);
}

TEST(LowPrecisionTest, LossGradientsAreRoundedAtTheScaleOfTheLoss) {
  // Class 1 has a probability of e^-20 = 2e-9, a gradient that binary16 cannot hold unless it is scaled.
  const Tensor weight = torch::tensor({{20.0F}, {0.0F}}).requires_grad_();
  const auto improbable_gradient = [&](float loss_scale, Precision precision) {
    const Tensor loss =
        linear_cross_entropy(torch::ones({1, 1}), weight, torch::zeros({1}, torch::kLong), precision);
    return torch::autograd::grad({loss * loss_scale}, {weight})[0][1].item<double>();
  };
  const double expected = std::exp(-20.0);
  EXPECT_NEAR(improbable_gradient(1, Precision::fp32), expected, 1e-5 * expected);
  EXPECT_EQ(improbable_gradient(1, Precision::fp16), 0.0);
  EXPECT_NEAR(improbable_gradient(65536, Precision::fp16) / 65536, expected,
              unit_roundoff(Precision::fp16) * expected);
  EXPECT_TRUE(std::isinf(improbable_gradient(1e15F, Precision::fp16)));
}

TEST(LowPrecisionTest, LossWithoutCountedTargetsIsNanAndHasNoGradients) {
  const Tensor x = random_tensor({2, 3}, 1).requires_grad_();
  const Tensor loss =
      linear_cross_entropy(x, random_tensor({4, 3}, 2), torch::full({2}, -1, torch::kLong), Precision::fp16);
  EXPECT_TRUE(std::isnan(loss.item<float>()));
  EXPECT_EQ(torch::autograd::grad({loss}, {x})[0].abs().max().item<float>(), 0.0F);
}

TEST(LowPrecisionTest, ModelComputesInThePrecisionThatIsSet) {
  const LlamaConfig config{
      .name = "test", .hidden = 32, .intermediate = 48, .heads = 2, .layers = 2, .vocab_size = 50};
  Llama model(config, 3);
  const Tensor tokens = torch::arange(2 * 13).remainder(50).view({2, 13});
  const auto loss_and_gradients = [&](Precision precision) {
    model->set_precision(precision);
    model->zero_grad();
    const Tensor loss = model->loss(tokens);
    loss.backward();
    Inputs results{loss.detach()};
    for (const Tensor& parameter : model->parameters()) results.push_back(parameter.grad().clone());
    return results;
  };
  const Inputs exact = loss_and_gradients(Precision::fp32);
  for (const Precision precision : kFormats) {
    const Inputs results = loss_and_gradients(precision);
    for (std::size_t i = 0; i < results.size(); ++i) {
      ASSERT_EQ(results[i].scalar_type(), torch::kFloat);
      EXPECT_FALSE(torch::equal(results[i], exact[i])) << i;
      // Some 20 roundings lie between a parameter and the loss.
      const double relative = ((results[i] - exact[i]).norm() / exact[i].norm()).item<double>();
      EXPECT_LT(relative, 20 * unit_roundoff(precision)) << i;
    }
    EXPECT_TRUE(torch::equal(loss_and_gradients(precision)[1], results[1]));
    const torch::NoGradGuard no_grad;
    EXPECT_TRUE(torch::equal(model->loss(tokens), results[0]));
  }
  const Inputs again = loss_and_gradients(Precision::fp32);
  for (std::size_t i = 0; i < exact.size(); ++i) EXPECT_TRUE(torch::equal(again[i], exact[i])) << i;
}

}  // namespace
}  // namespace gradstab::lab
