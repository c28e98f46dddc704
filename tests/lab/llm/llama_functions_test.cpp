#include "lab/llm/llama_functions.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "lab/nn/cpu_kernels.hpp"

namespace gradstab::lab {
namespace {

using torch::Tensor;
using Inputs = std::vector<Tensor>;
using Function = std::function<Tensor(const Inputs&)>;

Tensor random_tensor(std::vector<std::int64_t> sizes, std::uint64_t seed,
                     torch::ScalarType type = torch::kDouble) {
  auto generator = torch::make_generator<torch::CPUGeneratorImpl>(seed);
  return torch::randn(sizes, generator, torch::kDouble).to(type);
}

/// One function twice: with kernels and composed, and inputs to try them on.
struct Case {
  std::string name;
  Function node, composition;
  Inputs inputs;
  double terms = 130;  // of the longest sum in any result
};

/// The relative rounding error allowed for: a random walk through the longest sum, and a few dozen further
/// roundings.
double tolerance(const Case& c, double epsilon) {
  return (32 + 4 * std::sqrt(c.terms)) * epsilon;
}

Case attention_case(std::int64_t batch, std::int64_t length, std::int64_t heads, std::int64_t head_dim,
                    torch::ScalarType type) {
  const RotaryTable table = rotary_table(length, head_dim, 10000.0, type);
  return {"attention " + std::to_string(batch) + "x" + std::to_string(length) + "x" + std::to_string(heads) +
              "x" + std::to_string(head_dim),
          [=](const Inputs& in) { return causal_attention(in[0], table, heads); },
          [=](const Inputs& in) { return composed::causal_attention(in[0], table, heads); },
          {random_tensor({batch * length, 3 * heads * head_dim}, 5, type)}};
}

Case cross_entropy_case(std::int64_t rows, std::int64_t width, std::int64_t classes, torch::ScalarType type) {
  auto generator = torch::make_generator<torch::CPUGeneratorImpl>(9);
  Tensor targets = torch::randint(0, classes, {rows}, generator, torch::kLong);
  targets.index_put_({torch::arange(1, rows, 3)}, -100);
  return {
      "cross-entropy " + std::to_string(rows) + "x" + std::to_string(width) + "x" + std::to_string(classes),
      [=](const Inputs& in) { return linear_cross_entropy(in[0], in[1], targets); },
      [=](const Inputs& in) { return composed::linear_cross_entropy(in[0], in[1], targets); },
      {random_tensor({rows, width}, 7, type), random_tensor({classes, width}, 8, type)},
      static_cast<double>(classes)};
}

/// Sizes off every vector and block length, up to several query blocks, 64-row parts and cross-entropy
/// slices.
std::vector<Case> cases(torch::ScalarType type, bool large) {
  std::vector<Case> all;
  for (const auto& [rows, width] :
       std::vector<std::pair<std::int64_t, std::int64_t>>{{1, 3}, {3, 13}, {130, 36}}) {
    if (rows > 3 && !large) continue;
    const std::string size = " " + std::to_string(rows) + "x" + std::to_string(width);
    all.push_back({"rms_norm" + size,
                   [](const Inputs& in) { return rms_norm(in[0], in[1], 1e-6); },
                   [](const Inputs& in) { return composed::rms_norm(in[0], in[1], 1e-6); },
                   {random_tensor({rows, width}, 1, type), random_tensor({width}, 2, type)}});
    all.push_back({"swiglu" + size,
                   [](const Inputs& in) { return swiglu(in[0]); },
                   [](const Inputs& in) { return composed::swiglu(in[0]); },
                   {random_tensor({rows, 2 * width}, 3, type)}});
    all.push_back({"stacked_linear" + size,
                   [](const Inputs& in) {
                     return stacked_linear(in[0], {in[1], in[2], in[3]});
                   },
                   [](const Inputs& in) {
                     return composed::stacked_linear(in[0], {in[1], in[2], in[3]});
                   },
                   {random_tensor({rows, width}, 10, type), random_tensor({4, width}, 11, type),
                    random_tensor({1, width}, 12, type), random_tensor({7, width}, 13, type)}});
  }
  all.push_back(attention_case(1, 1, 1, 2, type));
  all.push_back(attention_case(2, 5, 3, 6, type));
  all.push_back(cross_entropy_case(1, 2, 3, type));
  all.push_back(cross_entropy_case(7, 5, 11, type));
  if (large) {
    all.push_back(attention_case(1, 33, 2, 52, type));
    all.push_back(attention_case(2, 80, 2, 32, type));
    all.push_back(cross_entropy_case(70, 3, 40000, type));
  }
  return all;
}

/// Output and the gradients of sum(output * fixed random weights).
Inputs run(const Function& function, const Inputs& inputs) {
  Inputs leaves;
  for (const Tensor& input : inputs) leaves.push_back(input.detach().clone().requires_grad_());
  const Tensor out = function(leaves);
  const Tensor weights = random_tensor(out.sizes().vec(), 77).to(out.scalar_type());
  Inputs results = torch::autograd::grad({(out * weights).sum()}, leaves);
  results.insert(results.begin(), out.detach());
  return results;
}

double relative_difference(const Tensor& a, const Tensor& b) {
  const double largest = b.abs().max().item<double>();
  return (a.to(torch::kDouble) - b.to(torch::kDouble)).abs().max().item<double>() / std::max(largest, 1e-30);
}

TEST(LlamaFunctionsTest, NodesMatchTheCompositionsInDouble) {
  for (const Case& c : cases(torch::kDouble, true)) {
    const Inputs ours = run(c.node, c.inputs);
    const Inputs expected = run(c.composition, c.inputs);
    for (std::size_t i = 0; i < ours.size(); ++i)
      EXPECT_LT(relative_difference(ours[i], expected[i]),
                tolerance(c, std::numeric_limits<double>::epsilon()))
          << c.name << ", result " << i;
  }
}

TEST(LlamaFunctionsTest, FloatNodesMatchTheCompositionsInDouble) {
  const auto doubles = cases(torch::kDouble, true);
  const auto floats = cases(torch::kFloat, true);
  for (std::size_t n = 0; n < floats.size(); ++n) {
    Inputs rounded;
    for (const Tensor& input : floats[n].inputs) rounded.push_back(input.to(torch::kDouble));
    const Inputs ours = run(floats[n].node, floats[n].inputs);
    const Inputs expected = run(doubles[n].composition, rounded);
    for (std::size_t i = 0; i < ours.size(); ++i)
      EXPECT_LT(relative_difference(ours[i], expected[i]),
                tolerance(floats[n], std::numeric_limits<float>::epsilon()))
          << floats[n].name << ", result " << i;
  }
}

TEST(LlamaFunctionsTest, GradientsMatchFiniteDifferences) {
  for (const Case& c : cases(torch::kDouble, false)) {
    const Inputs results = run(c.node, c.inputs);
    const Tensor weights = random_tensor(results[0].sizes().vec(), 77);
    for (std::size_t which = 0; which < c.inputs.size(); ++which) {
      Inputs probe;
      for (const Tensor& input : c.inputs) probe.push_back(input.clone());
      const Tensor numeric = torch::empty_like(c.inputs[which]);
      double* x = probe[which].data_ptr<double>();
      // Central differences: truncation step^2 and cancellation epsilon/step balance at the cube root of
      // epsilon.
      constexpr double kStep = 6e-6;
      for (std::int64_t i = 0; i < numeric.numel(); ++i) {
        const double old = x[i];
        const auto value = [&](double at) {
          return x[i] = at, (c.node(probe) * weights).sum().item<double>();
        };
        numeric.data_ptr<double>()[i] = (value(old + kStep) - value(old - kStep)) / (2 * kStep);
        x[i] = old;
      }
      // The scale 1 matters where the true gradient is zero, as behind the only key of a sequence.
      const double error = (results[which + 1] - numeric).abs().max().item<double>();
      EXPECT_LT(error, 1e-7 * std::max(1.0, numeric.abs().max().item<double>()))
          << c.name << ", input " << which;
    }
  }
}

TEST(LlamaFunctionsTest, ComparisonDetectsAChangedGradient) {
  const Case c = attention_case(2, 5, 3, 6, torch::kDouble);
  Inputs ours = run(c.node, c.inputs);
  const Inputs expected = run(c.composition, c.inputs);
  ours[1].view({-1})[0] += 1e-10;
  EXPECT_GT(relative_difference(ours[1], expected[1]), tolerance(c, std::numeric_limits<double>::epsilon()));
}

TEST(LlamaFunctionsTest, SwigluKeepsItsAccuracyAndNonFiniteValues) {
  const Tensor gate = torch::linspace(-60, 60, 20001, torch::kFloat);
  const Tensor pair = torch::cat({gate, torch::ones_like(gate)}).view({1, -1});
  const Tensor ours = swiglu(pair).to(torch::kDouble);
  const Tensor expected = composed::swiglu(pair.to(torch::kDouble));
  const double worst = ((ours - expected) / expected.abs().clamp_min(1e-35)).abs().max().item<double>();
  EXPECT_LT(worst, 5 * std::numeric_limits<float>::epsilon());

  const float nan = std::numeric_limits<float>::quiet_NaN();
  const float inf = std::numeric_limits<float>::infinity();
  // Pairs (gate, up).
  const Tensor special = swiglu(torch::tensor({{nan, 1.0F}, {inf, 1.0F}, {1.0F, nan}, {-1000.0F, 1.0F}}));
  EXPECT_TRUE(std::isnan(special[0].item<float>()));
  EXPECT_EQ(special[1].item<float>(), inf);
  EXPECT_TRUE(std::isnan(special[2].item<float>()));
  EXPECT_NEAR(special[3].item<float>(), 0, 1e-30);
}

TEST(LlamaFunctionsTest, NanReachesTheLossAndTheGradients) {
  const Case c = cross_entropy_case(7, 5, 11, torch::kFloat);
  Inputs inputs{c.inputs[0].clone(), c.inputs[1].clone()};
  inputs[0][0][0] = std::numeric_limits<float>::quiet_NaN();
  for (const Tensor& result : run(c.node, inputs)) EXPECT_TRUE(result.isnan().any().item<bool>());
  Case a = attention_case(1, 40, 1, 8, torch::kFloat);
  a.inputs[0][39][0] = std::numeric_limits<float>::quiet_NaN();
  const Inputs results = run(a.node, a.inputs);
  EXPECT_TRUE(results[0][39].isnan().all().item<bool>());
  EXPECT_FALSE(results[0].narrow(0, 0, 39).isnan().any().item<bool>());
  EXPECT_TRUE(results[1].isnan().any().item<bool>());
}

TEST(LlamaFunctionsTest, BothInstructionSetsAgree) {
  const std::int64_t rows = 40;
  const std::int64_t dim = 12;
  const Tensor qkv = random_tensor({rows, 3 * dim}, 4, torch::kFloat);
  const RotaryTable table = rotary_table(rows, dim, 10000.0, torch::kFloat);
  const Tensor log_sum = torch::empty({rows});
  const auto attend = [&](const CpuKernels<float>& kernels) {
    Tensor y = torch::empty({rows, dim});
    kernels.attention(qkv.data_ptr<float>(), table.cosine.data_ptr<float>(), table.sine.data_ptr<float>(),
                      {1, rows, 1, dim}, y.data_ptr<float>(), log_sum.data_ptr<float>());
    Tensor dqkv = torch::empty({rows, 3 * dim});
    kernels.attention_backward(y.data_ptr<float>(), qkv.data_ptr<float>(), table.cosine.data_ptr<float>(),
                               table.sine.data_ptr<float>(), log_sum.data_ptr<float>(), {1, rows, 1, dim},
                               dqkv.data_ptr<float>());
    return std::pair(y, dqkv);
  };
  const auto [y, dqkv] = attend(cpu_kernels<float>());
  const auto [y_baseline, dqkv_baseline] = attend(baseline::kFloatKernels);
  EXPECT_LT(relative_difference(y, y_baseline), 32 * std::numeric_limits<float>::epsilon());
  EXPECT_LT(relative_difference(dqkv, dqkv_baseline), 64 * std::numeric_limits<float>::epsilon());
}

TEST(LlamaFunctionsTest, LossIgnoresNegativeTargets) {
  const Tensor x = random_tensor({4, 3}, 1);
  const Tensor weight = random_tensor({6, 3}, 2);
  const auto loss = [&](std::vector<std::int64_t> targets, const Tensor& rows) {
    return linear_cross_entropy(rows, weight, torch::tensor(targets)).item<double>();
  };
  EXPECT_NEAR(loss({5, -1, 0, -100}, x), loss({5, 0}, torch::stack({x[0], x[2]})), 1e-14);
  EXPECT_TRUE(std::isnan(loss({-1, -1, -1, -1}, x)));
  EXPECT_THROW(loss({0, 1, 2, 6}, x), c10::Error);
}

TEST(LlamaFunctionsTest, SecondDerivativesAreRefused) {
  const Tensor x = random_tensor({2, 4}, 1).requires_grad_();
  EXPECT_THROW(torch::autograd::grad({swiglu(x).sum()}, {x}, {}, true, true), c10::Error);
}

}  // namespace
}  // namespace gradstab::lab
