#include "lab/llm/llama.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>
#include <vector>

namespace gradstab::lab {
namespace {

using torch::Tensor;

/// Small, with weights large enough that every part of the model matters to the logits.
LlamaConfig tiny_config() {
  return {.name = "tiny",
          .hidden = 12,
          .intermediate = 10,
          .heads = 2,
          .layers = 2,
          .vocab_size = 11,
          .init_std = 0.4};
}

Tensor random_tokens(std::int64_t batch, std::int64_t length, std::int64_t vocab_size, std::uint64_t seed) {
  auto generator = torch::make_generator<torch::CPUGeneratorImpl>(seed);
  return torch::randint(0, vocab_size, {batch, length}, generator, torch::kLong);
}

using Vector = std::vector<double>;
using Matrix = std::vector<Vector>;

/// The model again, written from the formulas with loops over double. `angle_factor` other than 1 is a wrong
/// rotation.
class NaiveLlama {
 public:
  NaiveLlama(const Llama& model, double angle_factor)
      : config_(model->config()), parameters_(model->named_parameters()), angle_factor_(angle_factor) {}

  Matrix logits(const std::vector<std::int64_t>& tokens) const {
    const Matrix embedding = matrix("model.embed_tokens");
    Matrix x;
    for (const std::int64_t token : tokens) x.push_back(embedding[static_cast<std::size_t>(token)]);
    for (std::int64_t layer = 0; layer < config_.layers; ++layer) {
      const std::string prefix = "model.layers." + std::to_string(layer) + ".";
      add(x, attention(norm(x, prefix + "input_layernorm"), prefix + "self_attn."));
      const Matrix y = norm(x, prefix + "post_attention_layernorm");
      Matrix gate = times(y, prefix + "mlp.gate_proj");
      const Matrix up = times(y, prefix + "mlp.up_proj");
      for (std::size_t t = 0; t < gate.size(); ++t)
        for (std::size_t i = 0; i < gate[t].size(); ++i) gate[t][i] *= up[t][i] / (1 + std::exp(-gate[t][i]));
      add(x, times(gate, prefix + "mlp.down_proj"));
    }
    return times(norm(x, "model.norm"), "lm_head");
  }

 private:
  Matrix matrix(const std::string& name) const {
    const Tensor tensor = parameters_[name + ".weight"].detach().to(torch::kDouble);
    Matrix result;
    for (std::int64_t row = 0; row < tensor.size(0); ++row) {
      const double* begin = tensor.data_ptr<double>() + row * tensor.size(1);
      result.emplace_back(begin, begin + tensor.size(1));
    }
    return result;
  }
  static void add(Matrix& x, const Matrix& y) {
    for (std::size_t t = 0; t < x.size(); ++t)
      for (std::size_t i = 0; i < x[t].size(); ++i) x[t][i] += y[t][i];
  }
  Matrix times(const Matrix& x, const std::string& name) const {
    const Matrix weight = matrix(name);
    Matrix y(x.size(), Vector(weight.size(), 0.0));
    for (std::size_t t = 0; t < x.size(); ++t)
      for (std::size_t out = 0; out < weight.size(); ++out)
        for (std::size_t in = 0; in < x[t].size(); ++in) y[t][out] += weight[out][in] * x[t][in];
    return y;
  }
  Matrix norm(const Matrix& x, const std::string& name) const {
    const Tensor gain = parameters_[name + ".weight"].detach().to(torch::kDouble);
    Matrix y = x;
    for (Vector& row : y) {
      double square = 0;
      for (const double value : row) square += value * value;
      const double rms = std::sqrt(square / static_cast<double>(row.size()) + 1e-6);
      for (std::size_t i = 0; i < row.size(); ++i) row[i] *= gain.data_ptr<double>()[i] / rms;
    }
    return y;
  }
  /// Features j and j + d/2 of a head turn by t * 10000^(-2j/d).
  void rotate(Matrix& x) const {
    const auto d = static_cast<std::size_t>(config_.head_dim());
    for (std::size_t t = 0; t < x.size(); ++t)
      for (std::size_t head = 0; head < x[t].size(); head += d)
        for (std::size_t j = 0; j < d / 2; ++j) {
          const double angle = angle_factor_ * static_cast<double>(t) *
                               std::pow(10000.0, -2.0 * static_cast<double>(j) / static_cast<double>(d));
          const double first = x[t][head + j];
          const double second = x[t][head + j + d / 2];
          x[t][head + j] = first * std::cos(angle) - second * std::sin(angle);
          x[t][head + j + d / 2] = second * std::cos(angle) + first * std::sin(angle);
        }
  }
  Matrix attention(const Matrix& x, const std::string& prefix) const {
    Matrix q = times(x, prefix + "q_proj");
    Matrix k = times(x, prefix + "k_proj");
    const Matrix v = times(x, prefix + "v_proj");
    rotate(q);
    rotate(k);
    const auto d = static_cast<std::size_t>(config_.head_dim());
    Matrix mixed(x.size(), Vector(x[0].size(), 0.0));
    for (std::size_t head = 0; head < x[0].size(); head += d)
      for (std::size_t t = 0; t < x.size(); ++t) {
        Vector weight;
        double sum = 0;
        for (std::size_t s = 0; s <= t; ++s) {
          double dot = 0;
          for (std::size_t j = head; j < head + d; ++j) dot += q[t][j] * k[s][j];
          weight.push_back(std::exp(dot / std::sqrt(static_cast<double>(d))));
          sum += weight.back();
        }
        for (std::size_t s = 0; s <= t; ++s)
          for (std::size_t j = head; j < head + d; ++j) mixed[t][j] += weight[s] / sum * v[s][j];
      }
    return times(mixed, prefix + "o_proj");
  }

  LlamaConfig config_;
  torch::OrderedDict<std::string, Tensor> parameters_;
  double angle_factor_;
};

/// The largest deviation from the naive model relative to the largest logit.
double deviation(Llama& model, const Tensor& tokens, double angle_factor = 1) {
  const Tensor logits = model->logits(tokens).detach().to(torch::kDouble);
  const NaiveLlama naive(model, angle_factor);
  double largest = 0;
  double worst = 0;
  for (std::int64_t b = 0; b < tokens.size(0); ++b) {
    const auto* row = tokens.data_ptr<std::int64_t>() + b * tokens.size(1);
    const Matrix expected = naive.logits({row, row + tokens.size(1)});
    for (std::size_t t = 0; t < expected.size(); ++t)
      for (std::size_t c = 0; c < expected[t].size(); ++c) {
        const auto ours =
            logits[b][static_cast<std::int64_t>(t)][static_cast<std::int64_t>(c)].item<double>();
        largest = std::max(largest, std::abs(expected[t][c]));
        worst = std::max(worst, std::abs(ours - expected[t][c]));
      }
  }
  return worst / largest;
}

void randomize_gains(Llama& model) {
  const torch::NoGradGuard no_grad;
  auto generator = torch::make_generator<torch::CPUGeneratorImpl>(4);
  for (Tensor& parameter : model->parameters())
    if (parameter.dim() == 1) parameter.normal_(1, 0.3, generator);
}

// About 2 * layers * 12 roundings in a row lie between a token and its logits, each of one epsilon of a value
// near the largest; a factor 4 on top is for the division by small norms.
constexpr double kChain = 2 * 2 * 12 * 4;

TEST(LlamaTest, LogitsEqualTheNaiveModel) {
  for (const std::int64_t length : {1, 7, 37}) {
    Llama model(tiny_config(), 3);
    randomize_gains(model);
    const Tensor tokens = random_tokens(2, length, 11, 5);
    EXPECT_LT(deviation(model, tokens), kChain * std::numeric_limits<float>::epsilon()) << length;
    model->to(torch::kDouble);
    EXPECT_LT(deviation(model, tokens), kChain * std::numeric_limits<double>::epsilon()) << length;
  }
}

TEST(LlamaTest, ComparisonDetectsAWrongRotation) {
  Llama model(tiny_config(), 3);
  const Tensor tokens = random_tokens(2, 7, 11, 5);
  EXPECT_GT(deviation(model, tokens, 1.01), 10 * kChain * std::numeric_limits<float>::epsilon());
  EXPECT_GT(deviation(model, tokens, -1), 1e-2);
}

TEST(LlamaTest, AChangedTokenChangesOnlyItsOwnAndLaterLogits) {
  Llama model(tiny_config(), 3);
  const Tensor tokens = random_tokens(1, 40, 11, 5);
  Tensor changed = tokens.clone();
  changed[0][20] = (changed[0][20] + 1) % 11;
  const Tensor before = model->logits(tokens)[0];
  const Tensor after = model->logits(changed)[0];
  EXPECT_TRUE(torch::equal(before.narrow(0, 0, 20), after.narrow(0, 0, 20)));
  for (std::int64_t t = 20; t < 40; ++t) EXPECT_FALSE(torch::equal(before[t], after[t])) << t;
}

TEST(LlamaTest, LossIsTheMeanOverPredictedTokens) {
  Llama model(tiny_config(), 3);
  model->to(torch::kDouble);
  Tensor tokens = random_tokens(2, 9, 11, 5);
  const auto by_hand = [&] {
    const Tensor log_probabilities =
        torch::log_softmax(model->logits(tokens.narrow(1, 0, 8).clamp_min(0)), -1);
    double sum = 0;
    std::int64_t count = 0;
    for (std::int64_t b = 0; b < 2; ++b)
      for (std::int64_t t = 0; t < 8; ++t) {
        const auto target = tokens[b][t + 1].item<std::int64_t>();
        if (target < 0) continue;
        sum -= log_probabilities[b][t][target].item<double>();
        ++count;
      }
    return sum / static_cast<double>(count);
  };
  EXPECT_NEAR(model->loss(tokens).item<double>(), by_hand(), 1e-13);
  tokens[0].narrow(0, 4, 5).fill_(-1);
  EXPECT_NEAR(model->loss(tokens).item<double>(), by_hand(), 1e-13);
}

TEST(LlamaTest, UntrainedLossIsTheLogarithmOfTheVocabulary) {
  LlamaConfig config = llama_config("1m").value();
  config.vocab_size = 512;
  Llama model(config, 1);
  const torch::NoGradGuard no_grad;
  const double loss = model->loss(random_tokens(8, 129, 512, 2)).item<double>();
  // A logit is a normed vector times a row of N(0, 0.02): variance s^2 = 0.02^2 * hidden. So E loss = ln V +
  // s^2/2, and the mean of the targets' logits, of which at least V are nearly independent, spreads by
  // s/sqrt(V).
  const double variance = 0.02 * 0.02 * 128;
  EXPECT_NEAR(loss, std::log(512) + variance / 2, 5 * std::sqrt(variance / 512));
}

TEST(LlamaTest, ParametersHaveTheUsualNamesAndCounts) {
  for (const char* name : {"1m", "9m", "20m"}) {
    const LlamaConfig config = llama_config(name).value();
    Llama model(config, 1);
    std::int64_t count = 0;
    for (const Tensor& parameter : model->parameters()) count += parameter.numel();
    EXPECT_EQ(count, parameter_count(config)) << name;
  }
  LlamaConfig config = tiny_config();
  config.layers = 1;
  std::vector<std::string> names;
  for (const auto& item : Llama(config, 1)->named_parameters()) names.push_back(item.key());
  const std::string layer = "model.layers.0.";
  EXPECT_THAT(names, testing::UnorderedElementsAre(
                         "model.embed_tokens.weight", layer + "self_attn.q_proj.weight",
                         layer + "self_attn.k_proj.weight", layer + "self_attn.v_proj.weight",
                         layer + "self_attn.o_proj.weight", layer + "mlp.gate_proj.weight",
                         layer + "mlp.up_proj.weight", layer + "mlp.down_proj.weight",
                         layer + "input_layernorm.weight", layer + "post_attention_layernorm.weight",
                         "model.norm.weight", "lm_head.weight"));
}

TEST(LlamaTest, InitialValuesFollowTheRecipe) {
  Llama model(llama_config("1m").value(), 42);
  for (const auto& item : model->named_parameters()) {
    const Tensor values = item.value().detach().to(torch::kDouble);
    if (values.dim() == 1) {
      EXPECT_TRUE(values.eq(1).all().item<bool>()) << item.key();
      continue;
    }
    const auto n = static_cast<double>(values.numel());
    EXPECT_NEAR(values.mean().item<double>(), 0, 5 * 0.02 / std::sqrt(n)) << item.key();
    EXPECT_NEAR(values.std().item<double>(), 0.02, 5 * 0.02 / std::sqrt(2 * n)) << item.key();
    // No zeroed padding row.
    EXPECT_TRUE(values.square().sum(1).gt(0).all().item<bool>()) << item.key();
  }
}

/// Restores the number of threads when a test ends.
struct ThreadCountGuard {
  int before = at::get_num_threads();
  ~ThreadCountGuard() { at::set_num_threads(before); }
};

TEST(LlamaTest, InitialisationDependsOnTheSeedAlone) {
  const ThreadCountGuard guard;
  const LlamaConfig config = llama_config("1m").value();
  at::set_num_threads(1);
  Llama one(config, 42);
  at::set_num_threads(2);
  torch::manual_seed(5);
  Llama two(config, 42);
  Llama other(config, 43);
  const auto expected = one->named_parameters();
  for (const auto& item : two->named_parameters())
    EXPECT_TRUE(torch::equal(item.value(), expected[item.key()]));
  EXPECT_FALSE(torch::equal(other->named_parameters()["lm_head.weight"], expected["lm_head.weight"]));
}

TEST(LlamaTest, RepeatedPassesGiveTheSameBits) {
  const ThreadCountGuard guard;
  const Tensor tokens = random_tokens(4, 65, 4096, 2);
  for (const int threads : {1, 2}) {
    at::set_num_threads(threads);
    const auto gradients = [&] {
      Llama model(llama_config("1m").value(), 42);
      model->loss(tokens).backward();
      std::vector<Tensor> all;
      for (const Tensor& parameter : model->parameters()) all.push_back(parameter.grad());
      return all;
    };
    const auto first = gradients();
    const auto second = gradients();
    for (std::size_t i = 0; i < first.size(); ++i)
      EXPECT_TRUE(torch::equal(first[i], second[i])) << threads << " threads, parameter " << i;
  }
}

TEST(LlamaTest, TrainsInBfloat16WithoutTheKernels) {
  Llama model(tiny_config(), 3);
  const Tensor tokens = random_tokens(2, 9, 11, 5);
  const double in_float = model->loss(tokens).item<double>();
  model->to(torch::kBFloat16);
  const Tensor loss = model->loss(tokens);
  loss.backward();
  // bfloat16 keeps 8 bits, and the loss sums logits of a few units after a chain of roundings.
  EXPECT_NEAR(loss.item<double>(), in_float, 0.05 * in_float);
  for (const auto& item : model->named_parameters())
    EXPECT_TRUE(item.value().grad().isfinite().all().item<bool>()) << item.key();
}

TEST(LlamaTest, HooksSeeTheSevenProjectionsOfEveryBlock) {
  Llama model(tiny_config(), 3);
  const Tensor tokens = random_tokens(2, 9, 11, 5);
  const Tensor plain = model->logits(tokens);
  int weights = 0;
  int inputs = 0;
  model->set_projection_hooks({[&](const Tensor& weight) { return ++weights, weight.clone(); },
                               [&](const Tensor& input) { return ++inputs, input.clone(); }});
  EXPECT_TRUE(torch::equal(model->logits(tokens), plain));
  EXPECT_EQ(weights, 2 * 7);
  EXPECT_EQ(inputs, 2 * 4);  // q, k, v share an input; so do gate and up
  model->set_projection_hooks({[](const Tensor& weight) { return weight.round(); }, {}});
  EXPECT_FALSE(torch::equal(model->logits(tokens), plain));
  model->set_projection_hooks({});
  EXPECT_TRUE(torch::equal(model->logits(tokens), plain));
}

TEST(LlamaTest, ImpossibleInputsAreRefused) {
  LlamaConfig config = tiny_config();
  config.heads = 5;
  EXPECT_THROW(Llama(config, 1), Error);
  Llama model(tiny_config(), 3);
  EXPECT_THROW(model->loss(torch::zeros({3, 1}, torch::kLong)), c10::Error);
  EXPECT_THROW(model->logits(torch::zeros({3}, torch::kLong)), c10::Error);
  EXPECT_THROW(model->logits(torch::full({1, 2}, 11, torch::kLong)), c10::Error);
}

}  // namespace
}  // namespace gradstab::lab
