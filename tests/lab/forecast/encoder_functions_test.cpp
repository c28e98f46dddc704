// The fused pieces of an encoder layer against the same of PyTorch operations, and against finite
// differences.
#include "lab/forecast/encoder_functions.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <type_traits>
#include <vector>

#include "lab/forecast/encoder_kernels.hpp"

namespace gradstab::lab::forecast {
namespace {

using torch::Tensor;

Tensor random(at::IntArrayRef sizes, double scale = 1) {
  static auto generator = torch::make_generator<torch::CPUGeneratorImpl>(11);
  return torch::empty(sizes, torch::kDouble).normal_(0, scale, generator);
}

/// Leaves that hold the tensors' values in another dtype.
std::vector<Tensor> leaves(const std::vector<Tensor>& values, torch::ScalarType type) {
  std::vector<Tensor> list;
  for (const Tensor& value : values) list.push_back(value.detach().to(type).clone().requires_grad_());
  return list;
}

double difference(const Tensor& a, const Tensor& b) {
  return (a.to(torch::kDouble) - b.to(torch::kDouble)).abs().max().item<double>();
}

using Function = std::function<Tensor(const std::vector<Tensor>&)>;

/// Result and gradients of both functions agree to `tolerance` times the size of the expected numbers.
void expect_same(const Function& ours, const Function& expected, const std::vector<Tensor>& values,
                 torch::ScalarType type, double tolerance) {
  const auto our_inputs = leaves(values, type);
  const auto their_inputs = leaves(values, torch::kDouble);
  const Tensor our_result = ours(our_inputs);
  const Tensor their_result = expected(their_inputs);
  ASSERT_EQ(our_result.sizes(), their_result.sizes());
  const Tensor weight = random(their_result.sizes());
  (our_result * weight.to(type)).sum().backward();
  (their_result * weight).sum().backward();
  EXPECT_LT(difference(our_result, their_result), tolerance * their_result.abs().max().item<double>());
  for (std::size_t i = 0; i < values.size(); ++i) {
    const Tensor their_gradient = their_inputs[i].grad();
    EXPECT_LT(difference(our_inputs[i].grad(), their_gradient),
              tolerance * std::max(1e-3, their_gradient.abs().max().item<double>()))
        << "input " << i;
  }
}

/// Gradients against central differences along random directions.
void expect_gradients(const Function& function, const std::vector<Tensor>& values) {
  const auto inputs = leaves(values, torch::kDouble);
  const Tensor weight = random(function(inputs).sizes());
  (function(inputs) * weight).sum().backward();
  constexpr double kStep = 1e-5;
  for (std::size_t i = 0; i < values.size(); ++i) {
    const Tensor direction = random(values[i].sizes());
    const auto at = [&](double step) {
      auto moved = values;
      moved[i] = values[i] + step * direction;
      const torch::NoGradGuard no_grad;
      return (function(moved) * weight).sum().item<double>();
    };
    const double expected = (at(kStep) - at(-kStep)) / (2 * kStep);
    const double gradient = (inputs[i].grad() * direction).sum().item<double>();
    EXPECT_NEAR(gradient, expected, 1e-7 * std::max(1.0, std::abs(expected))) << "input " << i;
  }
}

struct AttentionCase {
  std::int64_t series, length, heads, head_dim, layers;
};
// The published sizes, and such as fill no vector and no block.
const std::vector<AttentionCase> kAttentionCases = {{5, 42, 4, 4, 1}, {5, 42, 4, 4, 3}, {2, 42, 16, 8, 2},
                                                    {3, 1, 1, 1, 2},  {2, 7, 3, 5, 2},  {1, 64, 2, 4, 3},
                                                    {2, 33, 2, 3, 3}};

std::vector<Tensor> projections_for(const AttentionCase& c) {
  std::vector<Tensor> list;
  for (std::int64_t layer = 0; layer < c.layers; ++layer)
    list.push_back(random({c.series * c.length, 3 * c.heads * c.head_dim}));
  return list;
}

TEST(ResidualAttentionTest, EqualsTheComposition) {
  for (const AttentionCase& c : kAttentionCases) {
    SCOPED_TRACE(testing::Message() << c.series << ' ' << c.length << ' ' << c.heads << ' ' << c.head_dim
                                    << ' ' << c.layers);
    const Function ours = [&](const auto& p) { return residual_attention(p, c.length, c.heads); };
    const Function composition = [&](const auto& p) {
      return composed::residual_attention(p, c.length, c.heads);
    };
    const auto values = projections_for(c);
    expect_same(ours, composition, values, torch::kDouble, 1e-12);
    expect_same(ours, composition, values, torch::kFloat, 2e-5);
  }
}

TEST(ResidualAttentionTest, GradientsByDifferences) {
  for (const AttentionCase& c : kAttentionCases)
    expect_gradients([&](const auto& p) { return residual_attention(p, c.length, c.heads); },
                     projections_for(c));
}

TEST(ResidualAttentionTest, EarlierLayersCount) {
  const AttentionCase c{2, 9, 2, 4, 2};
  const auto projections = projections_for(c);
  EXPECT_GT(difference(residual_attention(projections, c.length, c.heads),
                       residual_attention({projections[1]}, c.length, c.heads)),
            0.01);
}

TEST(ResidualAttentionTest, LargeScoresStayFinite) {
  const AttentionCase c{2, 42, 4, 4, 3};
  auto values = projections_for(c);
  for (Tensor& value : values) value = value * 100;
  auto inputs = leaves(values, torch::kFloat);
  const Tensor y = residual_attention(inputs, c.length, c.heads);
  y.sum().backward();
  EXPECT_TRUE(y.isfinite().all().item<bool>());
  for (const Tensor& input : inputs) EXPECT_TRUE(input.grad().isfinite().all().item<bool>());
}

TEST(ResidualAttentionTest, NaNReachesTheOutput) {
  const AttentionCase c{1, 10, 1, 4, 1};
  auto values = projections_for(c);
  values[0].index_put_({3, 0}, std::nan(""));
  EXPECT_TRUE(
      residual_attention({values[0].to(torch::kFloat)}, c.length, c.heads).isnan().any().item<bool>());
}

TEST(ResidualAttentionTest, WrongShapesThrow) {
  const Tensor p = random({20, 24}).to(torch::kFloat);
  EXPECT_THROW(residual_attention({}, 10, 2), c10::Error);
  EXPECT_THROW(residual_attention({p}, 7, 2), c10::Error);
  EXPECT_THROW(residual_attention({p}, 10, 3), c10::Error);
  EXPECT_THROW(residual_attention({p, p.narrow(0, 0, 10)}, 10, 2), c10::Error);
}

struct FeedForwardCase {
  std::int64_t rows, width, hidden;
  double rate;
};
const std::vector<FeedForwardCase> kFeedForwardCases = {{2100, 16, 128, 0.3}, {130, 128, 256, 0.2},
                                                        {1, 1, 1, 0},         {33, 6, 10, 0.5},
                                                        {1025, 5, 17, 0.3},   {64, 16, 128, 0}};

std::vector<Tensor> feed_forward_values(const FeedForwardCase& c) {
  return {random({c.rows, c.width}), random({c.hidden, c.width}, 0.5), random({c.hidden}),
          random({c.width, c.hidden}, 0.3), random({c.width})};
}
FeedForwardDropout dropout_of(const FeedForwardCase& c) {
  const nn::Draw draw{1, 2};
  return {c.rate, draw.key(1), draw.key(2)};
}

TEST(FeedForwardTest, EqualsTheComposition) {
  for (const FeedForwardCase& c : kFeedForwardCases) {
    SCOPED_TRACE(testing::Message() << c.rows << ' ' << c.width << ' ' << c.hidden << ' ' << c.rate);
    const Function ours = [&](const auto& v) {
      return feed_forward(v[0], {v[1], v[2], v[3], v[4]}, dropout_of(c));
    };
    const Function composition = [&](const auto& v) {
      return composed::feed_forward(v[0], {v[1], v[2], v[3], v[4]}, dropout_of(c));
    };
    const auto values = feed_forward_values(c);
    expect_same(ours, composition, values, torch::kDouble, 1e-12);
    expect_same(ours, composition, values, torch::kFloat, 2e-5);
  }
}

TEST(FeedForwardTest, GradientsByDifferences) {
  for (const FeedForwardCase& c : kFeedForwardCases)
    expect_gradients(
        [&](const auto& v) {
          return feed_forward(v[0], {v[1], v[2], v[3], v[4]}, dropout_of(c));
        },
        feed_forward_values(c));
}

TEST(FeedForwardTest, DropoutHasTwoPlaces) {
  const FeedForwardCase c{64, 8, 16, 0.5};
  const auto v = feed_forward_values(c);
  const auto with = [&](std::uint64_t hidden, std::uint64_t output) {
    const nn::Draw draw{1, 2};
    return feed_forward(v[0], {v[1], v[2], v[3], v[4]}, {c.rate, draw.key(hidden), draw.key(output)});
  };
  EXPECT_TRUE(torch::equal(with(1, 2), with(1, 2)));
  EXPECT_FALSE(torch::equal(with(1, 2), with(3, 2)));
  EXPECT_FALSE(torch::equal(with(1, 2), with(1, 3)));
}

TEST(FeedForwardTest, GeluInFloatIsAsGoodAsAnyFloat) {
  // One row per value: width 1, inner weight 1, outer weight 1, no biases.
  const Tensor x = torch::linspace(-12, 12, 100001, torch::kDouble).view({-1, 1});
  const auto run = [&](torch::ScalarType type) {
    const auto one = torch::ones({1, 1}, type);
    const auto zero = torch::zeros({1}, type);
    return feed_forward(x.to(type), {one, zero, one, zero}, {}).to(torch::kDouble) -
           x.to(type).to(torch::kDouble);
  };
  const Tensor exact = x.to(torch::kFloat).to(torch::kDouble) * 0.5 *
                       torch::erfc(-x.to(torch::kFloat).to(torch::kDouble) * std::sqrt(0.5));
  EXPECT_LT(difference(run(torch::kDouble), torch::gelu(x)), 1e-14);
  // 7.5e-8 of the distribution function, times x, plus the rounding of the sum x + gelu(x).
  EXPECT_LT(((run(torch::kFloat) - exact).abs() / (1 + x.abs())).max().item<double>(), 3e-7);
}

struct LinearCase {
  std::int64_t rows, in, out;
};
// The published sizes, such as fill no vector and no block, and one that is too large for the kernel.
const std::vector<LinearCase> kLinearCases = {{2100, 16, 48}, {1025, 16, 16}, {1, 1, 1},
                                              {33, 5, 7},     {70, 17, 31},   {40, 128, 384}};

std::vector<Tensor> linear_values(const LinearCase& c) {
  return {random({c.rows, c.in}), random({c.out, c.in}, 0.5), random({c.out})};
}

TEST(NarrowLinearTest, EqualsTheComposition) {
  const Function ours = [](const auto& v) { return linear(v[0], v[1], v[2]); };
  const Function composition = [](const auto& v) { return torch::linear(v[0], v[1], v[2]); };
  for (const LinearCase& c : kLinearCases) {
    SCOPED_TRACE(testing::Message() << c.rows << ' ' << c.in << ' ' << c.out);
    const auto values = linear_values(c);
    expect_same(ours, composition, values, torch::kDouble, 1e-12);
    expect_same(ours, composition, values, torch::kFloat, 2e-5);
  }
}

TEST(NarrowLinearTest, GradientsByDifferences) {
  for (const LinearCase& c : kLinearCases)
    expect_gradients([](const auto& v) { return linear(v[0], v[1], v[2]); }, linear_values(c));
}

TEST(NarrowLinearTest, AnInputWithoutGradientNeedsNone) {
  const auto v = leaves(linear_values({33, 5, 7}), torch::kFloat);
  const Tensor x = v[0].detach();
  linear(v[0], v[1], v[2]).square().sum().backward();
  const Tensor weight = v[1].detach().clone().requires_grad_();
  const Tensor bias = v[2].detach().clone().requires_grad_();
  linear(x, weight, bias).square().sum().backward();
  EXPECT_TRUE(torch::equal(weight.grad(), v[1].grad()));
  EXPECT_TRUE(torch::equal(bias.grad(), v[2].grad()));
}

TEST(NarrowLinearTest, WrongShapesThrow) {
  const auto v = leaves(linear_values({33, 5, 7}), torch::kFloat);
  EXPECT_THROW(linear(v[0], v[1].t(), v[2]), c10::Error);
  EXPECT_THROW(linear(v[0], v[1], v[2].narrow(0, 0, 6)), c10::Error);
  EXPECT_THROW(linear(v[0].view({3, 11, 5}), v[1], v[2]), c10::Error);
}

TEST(EncoderFunctionsTest, AreTheSameForEveryNumberOfThreads) {
  const AttentionCase a{50, 42, 4, 4, 2};
  const FeedForwardCase f{5000, 16, 128, 0.3};
  const auto projections = projections_for(a);
  const auto values = feed_forward_values(f);
  const auto linear_inputs = linear_values({5000, 16, 48});
  const int before = torch::get_num_threads();
  std::vector<std::vector<Tensor>> results;
  for (const int threads : {1, 3}) {
    torch::set_num_threads(threads);
    auto p = leaves(projections, torch::kFloat);
    auto v = leaves(values, torch::kFloat);
    auto l = leaves(linear_inputs, torch::kFloat);
    std::vector<Tensor> all = {residual_attention(p, a.length, a.heads),
                               feed_forward(v[0], {v[1], v[2], v[3], v[4]}, dropout_of(f)),
                               linear(l[0], l[1], l[2])};
    all[0].square().sum().backward();
    all[1].square().sum().backward();
    all[2].square().sum().backward();
    for (const Tensor& input : p) all.push_back(input.grad());
    for (const Tensor& input : v) all.push_back(input.grad());
    for (const Tensor& input : l) all.push_back(input.grad());
    results.push_back(all);
  }
  torch::set_num_threads(before);
  for (std::size_t i = 0; i < results[0].size(); ++i)
    EXPECT_TRUE(torch::equal(results[0][i], results[1][i])) << i;
}

/// The largest difference relative to the largest expected magnitude.
template <class Scalar>
double relative_difference(const std::vector<Scalar>& a, const Tensor& expected) {
  const Tensor ours =
      torch::from_blob(const_cast<Scalar*>(a.data()), expected.sizes(), expected.scalar_type());
  return difference(ours, expected) / std::max(1e-3, expected.abs().max().item<double>());
}

/// What each build computes, called by itself, against what the functions above give.
template <class Scalar>
void compare_builds(double tolerance) {
  const auto type = std::is_same_v<Scalar, float> ? torch::kFloat : torch::kDouble;
  const auto pointer = [](const Tensor& tensor) { return tensor.data_ptr<Scalar>(); };
  for (const AttentionCase& c : kAttentionCases) {
    const auto inputs = leaves(projections_for(c), type);
    const Tensor y = residual_attention(inputs, c.length, c.heads);
    const Tensor dy = random(y.sizes()).to(type);
    (y * dy).sum().backward();
    std::vector<const Scalar*> projections;
    for (const Tensor& input : inputs) projections.push_back(pointer(input));
    const AttentionShape shape{c.series, c.length, c.heads, c.head_dim, c.layers};
    for (const auto* kernels : all_encoder_kernels<Scalar>()) {
      const auto size = static_cast<std::size_t>(y.numel());
      std::vector<Scalar> ours(size);
      std::vector<Scalar> log_sum(static_cast<std::size_t>(c.series * c.heads * c.length));
      std::vector<std::vector<Scalar>> gradients(inputs.size(), std::vector<Scalar>(3 * size));
      std::vector<Scalar*> targets;
      for (auto& gradient : gradients) targets.push_back(gradient.data());
      kernels->attention(projections.data(), shape, ours.data(), log_sum.data());
      kernels->attention_backward(pointer(dy), projections.data(), log_sum.data(), shape, targets.data());
      EXPECT_LT(relative_difference(ours, y), tolerance);
      for (std::size_t i = 0; i < inputs.size(); ++i)
        EXPECT_LT(relative_difference(gradients[i], inputs[i].grad()), tolerance) << i;
    }
  }
  for (const FeedForwardCase& c : kFeedForwardCases) {
    const auto v = leaves(feed_forward_values(c), type);
    const Tensor y = feed_forward(v[0], {v[1], v[2], v[3], v[4]}, dropout_of(c));
    const Tensor dy = random(y.sizes()).to(type);
    (y * dy).sum().backward();
    const FeedForward<const Scalar> weights{pointer(v[1]), pointer(v[2]), pointer(v[3]), pointer(v[4])};
    const FeedForwardShape shape{c.rows, c.width, c.hidden, nn::DropRule(dropout_of(c).hidden, c.rate),
                                 nn::DropRule(dropout_of(c).output, c.rate)};
    for (const auto* kernels : all_encoder_kernels<Scalar>()) {
      std::vector<Scalar> ours(static_cast<std::size_t>(y.numel()));
      std::vector<std::vector<Scalar>> g;
      for (const Tensor& value : v) g.emplace_back(static_cast<std::size_t>(value.numel()));
      kernels->feed_forward(pointer(v[0]), weights, shape, ours.data());
      kernels->feed_forward_backward(pointer(dy), pointer(v[0]), weights, shape, g[0].data(),
                                     {g[1].data(), g[2].data(), g[3].data(), g[4].data()});
      EXPECT_LT(relative_difference(ours, y), tolerance);
      for (std::size_t i = 0; i < v.size(); ++i)
        EXPECT_LT(relative_difference(g[i], v[i].grad()), tolerance) << i;
    }
  }
}

template <class Scalar>
void compare_linear_builds(double tolerance) {
  const auto type = std::is_same_v<Scalar, float> ? torch::kFloat : torch::kDouble;
  for (const LinearCase& c : kLinearCases) {
    const std::vector<Tensor> v = leaves(linear_values(c), type);
    const Tensor y = torch::linear(v[0], v[1], v[2]);
    const Tensor dy = random(y.sizes()).to(type);
    (y * dy).sum().backward();
    for (const auto* kernels : all_encoder_kernels<Scalar>()) {
      std::vector<Scalar> ours(static_cast<std::size_t>(y.numel()));
      std::vector<std::vector<Scalar>> g;
      for (const Tensor& value : v) g.emplace_back(static_cast<std::size_t>(value.numel()));
      const Scalar *x = v[0].data_ptr<Scalar>(), *weight = v[1].data_ptr<Scalar>();
      kernels->linear(x, weight, v[2].data_ptr<Scalar>(), {c.rows, c.in, c.out}, ours.data());
      kernels->linear_backward(dy.data_ptr<Scalar>(), x, weight, {c.rows, c.in, c.out}, g[0].data(),
                               g[1].data(), g[2].data());
      EXPECT_LT(relative_difference(ours, y), tolerance);
      for (std::size_t i = 0; i < v.size(); ++i)
        EXPECT_LT(relative_difference(g[i], v[i].grad()), tolerance) << i;
    }
  }
}

TEST(EncoderFunctionsTest, EveryBuildAgrees) {
  compare_linear_builds<float>(2e-5);
  compare_linear_builds<double>(1e-12);
  EXPECT_EQ(all_encoder_kernels<float>().back(), &encoder_kernels<float>());
  compare_builds<float>(2e-5);
  compare_builds<double>(1e-12);
}

}  // namespace
}  // namespace gradstab::lab::forecast
