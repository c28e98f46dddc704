// Operands of projections rounded to four bits, and gradients that pass straight through.
#include "lab/quantize/quantized_projections.hpp"

#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include "golden/fixture.hpp"
#include "lab/llm/llama.hpp"

namespace gradstab::lab {
namespace {

using torch::Tensor;

constexpr std::uint64_t kDraw = 5;

QuantizerOptions stochastic(QuantizerOptions options) {
  options.rounding = QuantizerRounding::stochastic;
  options.seed = 1;
  return options;
}

Tensor random_tensor(std::vector<std::int64_t> sizes) {
  return torch::randn(sizes, torch::make_generator<torch::CPUGeneratorImpl>(std::uint64_t{3}));
}

/// A flat list of float32 numbers.
Tensor matrix(const nlohmann::json& list, std::int64_t rows) {
  std::vector<float> values;
  for (const double value : fixture::to_float32_values(list)) values.push_back(static_cast<float>(value));
  return torch::tensor(values).view({rows, -1});
}

double difference(const Tensor& ours, const Tensor& theirs) {
  return ((ours - theirs).abs().max() / theirs.abs().max()).item<double>();
}

TEST(QuantizedProjectionsTest, ALinearLayerAndItsGradientsAreThoseOfTheAuthors) {
  const auto recorded = fixture::load_plain_case("fp4_e1m2", "released/linear_forward_backward");
  constexpr std::int64_t kRows = 2;
  constexpr std::int64_t kOutputs = 3;
  const auto layer = [&](const QuantizerOptions& options) {
    Tensor x = matrix(recorded["x"], kRows).requires_grad_();
    Tensor weight = matrix(recorded["weight"], kOutputs).requires_grad_();
    const Tensor y = torch::mm(fake_quantized(x, options, 0), fake_quantized(weight, options, 0).t()) +
                     matrix(recorded["bias"], 1);
    y.backward(matrix(recorded["grad_out"], kRows));
    return std::vector<double>{difference(y, matrix(recorded["y32"], kRows)),
                               difference(x.grad(), matrix(recorded["dx32"], kRows)),
                               difference(weight.grad(), matrix(recorded["dw32"], kOutputs))};
  };
  for (const double error : layer(QuantizerOptions::released_fp4())) EXPECT_LE(error, 4e-6);
  for (const double error : layer(QuantizerOptions::e2m1()))
    EXPECT_GT(error, 4e-3) << "the comparison sees it";
}

TEST(QuantizedProjectionsTest, PartsForThreadsAreInvisible) {
  const Tensor x = random_tensor({7, 10001});  // two parts, and a last group of 116
  Tensor whole = torch::empty_like(x);
  const auto span = [](const Tensor& tensor) {
    return std::span(tensor.data_ptr<float>(), static_cast<std::size_t>(tensor.numel()));
  };
  fake_quantize(std::span<const float>(span(x)), span(whole), QuantizerOptions::e2m1()).check();
  EXPECT_TRUE(torch::equal(fake_quantized(x, QuantizerOptions::e2m1(), kDraw), whole));

  const auto rounded = [&](int threads) {
    const int before = at::get_num_threads();
    at::set_num_threads(threads);
    const Tensor y = fake_quantized(x, stochastic(QuantizerOptions::int4_activations()), kDraw);
    at::set_num_threads(before);
    return y;
  };
  EXPECT_TRUE(torch::equal(rounded(1), rounded(2)));
}

TEST(QuantizedProjectionsTest, OtherLayoutsAreQuantizedInTheOrderOfTheirElements) {
  const Tensor x = random_tensor({300, 5});
  const Tensor turned = x.t();
  EXPECT_TRUE(torch::equal(fake_quantized(turned, QuantizerOptions::e2m1(), kDraw),
                           fake_quantized(turned.contiguous(), QuantizerOptions::e2m1(), kDraw)));
  EXPECT_FALSE(torch::equal(fake_quantized(turned, QuantizerOptions::e2m1(), kDraw),
                            fake_quantized(x, QuantizerOptions::e2m1(), kDraw).t()));
}

TEST(QuantizedProjectionsTest, WhatCannotBeQuantizedIsRefused) {
  EXPECT_THROW(fake_quantized(random_tensor({3, 5}), QuantizerOptions::released_fp4(), kDraw), Error);
  EXPECT_THROW(fake_quantized(random_tensor({3, 5}).to(torch::kDouble), QuantizerOptions::e2m1(), kDraw),
               c10::Error);
  EXPECT_EQ(fake_quantized(torch::empty({0, 5}), QuantizerOptions::e2m1(), kDraw).numel(), 0);
}

/// A LLaMA behind quantizing hooks.
class QuantizedLlamaTest : public ::testing::Test {
 protected:
  double loss(const ProjectionQuantizers& quantizers, std::uint64_t forward_index) {
    model_->set_projection_hooks(quantizing_hooks(quantizers, draws_));
    draws_->begin(forward_index);
    return model_->loss(tokens_).item<double>();
  }

  const LlamaConfig config_ = {.name = "tiny",
                               .hidden = 12,
                               .intermediate = 10,
                               .heads = 2,
                               .layers = 2,
                               .vocab_size = 11,
                               .init_std = 0.4};
  Llama model_{config_, std::uint64_t{3}};
  const Tensor tokens_ = torch::randint(
      0, 11, {2, 9}, torch::make_generator<torch::CPUGeneratorImpl>(std::uint64_t{5}), torch::kLong);
  const std::shared_ptr<QuantizationDraws> draws_ = std::make_shared<QuantizationDraws>();
};

TEST_F(QuantizedLlamaTest, RoundingDependsOnTheForwardPassAndNothingBeforeIt) {
  const ProjectionQuantizers nearest = {QuantizerOptions::e2m1(), QuantizerOptions::e2m1()};
  const ProjectionQuantizers random = {stochastic(QuantizerOptions::e2m1()),
                                       stochastic(QuantizerOptions::e2m1())};
  EXPECT_EQ(loss(nearest, 1), loss(nearest, 2));
  EXPECT_NE(loss(nearest, 1), loss(random, 1));
  const double first = loss(random, 1);
  EXPECT_NE(loss(random, 2), first);
  EXPECT_EQ(loss(random, 1), first);
}

/// Whether a change of the last token changes logits of tokens before it.
TEST_F(QuantizedLlamaTest, NoTokenLearnsOfALaterOneThroughTheScaleOfAGroup) {
  const torch::NoGradGuard no_grad;
  const auto leaks = [&](const ProjectionQuantizers& quantizers) {
    model_->set_projection_hooks(quantizing_hooks(quantizers, draws_));
    const auto logits = [&](const Tensor& tokens) {
      draws_->begin(1);
      return model_->logits(tokens);
    };
    const Tensor inputs = tokens_.slice(1, 0, 8).slice(0, 0, 1);
    const Tensor before = logits(inputs).slice(1, 0, 7);
    for (std::int64_t token = 0; token < config_.vocab_size; ++token) {
      Tensor changed = inputs.clone();
      changed[0][7] = token;
      if (!torch::equal(logits(changed).slice(1, 0, 7), before)) return true;
    }
    return false;
  };
  for (const std::int64_t group : {4, 8, 256}) {
    QuantizerOptions options = QuantizerOptions::e1m2();
    options.group_size = group;
    EXPECT_FALSE(leaks({options, options})) << group;
    EXPECT_FALSE(leaks({stochastic(options), stochastic(options)})) << group;
    QuantizerOptions released = QuantizerOptions::released_fp4();
    released.group_size = group;
    // The authors' code takes whole groups only; of 4 and 8 these operands have as many.
    if (group <= 8) {
      EXPECT_TRUE(leaks({released, released})) << group;
    }
    QuantizerOptions int4 = QuantizerOptions::int4_activations();
    int4.group_size = group;
    EXPECT_FALSE(leaks({QuantizerOptions::int4_weights(), int4})) << group;
  }
}

TEST(QuantizedProjectionsTest, GroupsOfRowsBeginAnewInEachRow) {
  const Tensor x = random_tensor({3, 2, 300});
  const Tensor rows = fake_quantized_rows(x, QuantizerOptions::e2m1(), kDraw);
  for (std::int64_t i = 0; i < 3; ++i) {
    for (std::int64_t j = 0; j < 2; ++j)
      EXPECT_TRUE(torch::equal(rows[i][j], fake_quantized(x[i][j], QuantizerOptions::e2m1(), kDraw)));
  }
  EXPECT_FALSE(torch::equal(rows, fake_quantized(x, QuantizerOptions::e2m1(), kDraw)));
  const Tensor whole = random_tensor({6, 512});
  EXPECT_TRUE(torch::equal(fake_quantized_rows(whole, QuantizerOptions::e2m1(), kDraw),
                           fake_quantized(whole, QuantizerOptions::e2m1(), kDraw)));
}

TEST_F(QuantizedLlamaTest, EveryOperandHasDrawsOfItsOwn) {
  draws_->begin(1);
  EXPECT_NE(draws_->next(), draws_->next());
  const Tensor x = random_tensor({4, 256});
  const auto options = stochastic(QuantizerOptions::e2m1());
  EXPECT_FALSE(
      torch::equal(fake_quantized(x, options, draws_->next()), fake_quantized(x, options, draws_->next())));
}

/// With a scale fixed so that every value is a level, quantizing changes nothing, gradients included.
TEST_F(QuantizedLlamaTest, MasterWeightsGetTheGradientsOfTheRoundedOnes) {
  const torch::NoGradGuard no_grad;
  for (const auto& item : model_->named_parameters()) {
    if (item.key().find("proj") != std::string::npos)
      item.value().copy_((item.value() * 2).round().clamp(-4, 4) / 2);
  }
  const auto gradients = [&](ProjectionHooks hooks) {
    const torch::AutoGradMode with_grad(true);
    model_->set_projection_hooks(std::move(hooks));
    model_->zero_grad();
    model_->loss(tokens_).backward();
    std::vector<Tensor> all;
    for (const Tensor& parameter : model_->parameters()) all.push_back(parameter.grad().clone());
    return all;
  };
  QuantizerOptions unit = QuantizerOptions::e2m1();
  unit.fixed_scale = 1.0;
  const auto plain = gradients({});
  const auto exact =
      gradients({[&](const Tensor& weight) { return fake_quantized(weight, unit, kDraw); }, {}});
  ASSERT_EQ(plain.size(), exact.size());
  for (std::size_t i = 0; i < plain.size(); ++i) EXPECT_TRUE(torch::equal(plain[i], exact[i])) << i;
  const auto coarse =
      gradients(quantizing_hooks({QuantizerOptions::e2m1(), QuantizerOptions::e2m1()}, draws_));
  EXPECT_FALSE(torch::equal(plain[1], coarse[1]));
}

}  // namespace
}  // namespace gradstab::lab
