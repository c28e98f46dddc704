// Adam-mini: who shares a second moment with whom.
#include <gtest/gtest.h>

#include <cmath>

#include "gradstab/transforms.hpp"
#include "optimizer/training.hpp"

namespace gradstab::testing {
namespace {

AdamMiniOptions eight_wide(std::int64_t n_heads = 2) {
  AdamMiniOptions options;
  options.dim = 8;
  options.n_heads = n_heads;
  return options;
}

/// Second moments of a parameter in Adam-mini: as many as elements where it is ordinary Adam.
std::size_t units_of(const std::string& name, std::vector<std::int64_t> sizes,
                     const AdamMiniOptions& options = eight_wide()) {
  const ParameterSet parameters = parameter_set({{name, std::move(sizes)}});
  Training run(parameters, DType::float64, options);
  std::mt19937_64 random(1);
  run.step(random_gradients(random, parameters));
  return run.optimizer.parameter_state(0)->values.at(1).size();
}

std::string refusal(const std::string& name, std::vector<std::int64_t> sizes,
                    const AdamMiniOptions& options) {
  Optimizer optimizer(options);
  const Status status = optimizer.init(parameter_set({{name, std::move(sizes)}}));
  EXPECT_EQ(status.code(), StatusCode::invalid_argument);
  return status.message();
}

TEST(AdamMiniPartitionTest, OfALlama) {
  EXPECT_EQ(units_of("model.embed_tokens.weight", {50, 8}), 50u);
  EXPECT_EQ(units_of("model.layers.0.self_attn.q_proj.weight", {8, 8}), 2u);
  EXPECT_EQ(units_of("model.layers.0.self_attn.k_proj.weight", {8, 8}), 2u);
  EXPECT_EQ(units_of("model.layers.0.self_attn.k_proj.weight", {4, 8}), 1u) << "grouped keys: fewer heads";
  EXPECT_EQ(units_of("model.layers.0.self_attn.v_proj.weight", {6, 8}), 6u);
  EXPECT_EQ(units_of("model.layers.0.self_attn.o_proj.weight", {8, 6}), 8u);
  EXPECT_EQ(units_of("model.layers.0.mlp.gate_proj.weight", {20, 8}), 20u);
  EXPECT_EQ(units_of("model.layers.0.mlp.down_proj.weight", {8, 20}), 8u);
  EXPECT_EQ(units_of("model.layers.0.input_layernorm.weight", {8}), 1u);
  EXPECT_EQ(units_of("model.norm.weight", {8}), 1u);
  EXPECT_EQ(units_of("lm_head.weight", {50, 8}), 50u);
  EXPECT_EQ(units_of("layers.0.attention.wq.weight", {8, 8}), 2u);
  EXPECT_EQ(units_of("layers.0.attention.wk.weight", {8, 8}), 2u);
  EXPECT_EQ(units_of("layers.0.attention.wv.weight", {8, 8}), 8u);
  EXPECT_EQ(units_of("layers.0.attention.wo.weight", {8, 8}), 8u);
  EXPECT_EQ(units_of("layers.0.feed_forward.w1.weight", {20, 8}), 20u);
  EXPECT_EQ(units_of("tok_embeddings.weight", {50, 8}), 50u);
  EXPECT_EQ(units_of("output.weight", {50, 8}), 50u);
}

TEST(AdamMiniPartitionTest, OfAGpt2) {
  EXPECT_EQ(units_of("transformer.wte.weight", {50, 8}), 50u);
  EXPECT_EQ(units_of("transformer.wpe.weight", {16, 8}), 1u) << "no rule names it";
  EXPECT_EQ(units_of("transformer.h.0.ln_1.weight", {8}), 1u);
  EXPECT_EQ(units_of("transformer.h.0.ln_1.bias", {8}), 8u) << "biases are ordinary Adam";
  EXPECT_EQ(units_of("transformer.h.0.attn.c_attn.weight", {24, 8}), 1u);
  EXPECT_EQ(units_of("transformer.h.0.attn.proj.weight", {8, 8}), 8u);
  EXPECT_EQ(units_of("transformer.h.0.mlp.c_fc.weight", {32, 8}), 32u);
  EXPECT_EQ(units_of("TRANSFORMER.H.0.MLP.C_FC.BIAS", {32}), 32u) << "names are compared in lower case";
}

TEST(AdamMiniPartitionTest, OfFusedProjections) {
  EXPECT_EQ(units_of("attention.query_key_value.weight", {24, 8}), 6u) << "heads of all three";
  EXPECT_EQ(units_of("attn.qkv.weight", {24, 8}), 1u) << "no rule names it";
  EXPECT_EQ(
      refusal("attn.qkv_proj.weight", {24, 8}, eight_wide()),
      "adam_mini cannot tell how 'attn.qkv_proj.weight' is divided: 'v_proj' stands inside a longer word; "
      "name its unit in overrides");
  EXPECT_EQ(
      refusal("attn.Wqkv.weight", {24, 8}, eight_wide()),
      "adam_mini cannot tell how 'attn.Wqkv.weight' is divided: 'wq' stands inside a longer word; name its "
      "unit in overrides");
}

TEST(AdamMiniPartitionTest, TheFirstRuleWins) {
  EXPECT_EQ(units_of("q_proj.bias", {8}), 8u) << "bias before q_proj";
  EXPECT_EQ(units_of("key_value.weight", {8, 8}), 2u) << "key before value";
  EXPECT_EQ(units_of("word_embeddings.weight", {12, 8}), 12u) << "embed before wo";
}

TEST(AdamMiniPartitionTest, ShortWordsInsideLongerOnesAreErrors) {
  for (const auto& [name, word] :
       {std::pair("monkey.weight", "key"), std::pair("world.weight", "wo"),
        std::pair("nonlinearity.weight", "linear"), std::pair("unbiased.w", "bias")}) {
    EXPECT_EQ(refusal(name, {8, 8}, eight_wide()),
              "adam_mini cannot tell how '" + std::string(name) + "' is divided: '" + word +
                  "' stands inside a longer word; name its unit in overrides");
  }
  EXPECT_EQ(units_of("key2.weight", {8, 8}), 2u) << "a digit ends a word";
  EXPECT_EQ(units_of("monkey.key.weight", {8, 8}), 2u) << "one of them stands by itself";
}

TEST(AdamMiniPartitionTest, HeadsMustBeKnownAndFit) {
  AdamMiniOptions unknown;
  EXPECT_EQ(refusal("wq.weight", {8, 8}, unknown),
            "adam_mini needs dim and n_heads above 0 for 'wq.weight', got 0 and 0");
  unknown.dim = 8;
  EXPECT_EQ(refusal("wq.weight", {8, 8}, unknown),
            "adam_mini needs dim and n_heads above 0 for 'wq.weight', got 8 and 0");
  EXPECT_EQ(refusal("wq.weight", {9, 8}, eight_wide()),
            "adam_mini cannot tell how 'wq.weight' is divided: its 72 elements are not a whole number of "
            "heads of 8 "
            "x 8 / 2; name its unit in overrides");
  EXPECT_EQ(refusal("wq.weight", {8, 8}, eight_wide(3)),
            "adam_mini cannot tell how 'wq.weight' is divided: its 64 elements are not a whole number of "
            "heads of 8 "
            "x 8 / 3; name its unit in overrides");
  EXPECT_FALSE(refusal("wq.weight", {8, 8}, eight_wide(128)).empty());
  AdamMiniOptions without;
  EXPECT_EQ(units_of("mlp.weight", {3, 8}, without), 3u) << "nobody needs heads here";
}

TEST(AdamMiniPartitionTest, OverridesGoBeforeTheRules) {
  AdamMiniOptions options = eight_wide();
  options.overrides = {{"*monkey*", AdamMiniUnit::row},
                       {"a.*", AdamMiniUnit::element},
                       {"a.mlp", AdamMiniUnit::tensor},  // the first that matches
                       {"c_attn", AdamMiniUnit::head},
                       {"q_proj", AdamMiniUnit::tensor}};
  EXPECT_EQ(units_of("the.monkey.weight", {5, 8}, options), 5u);
  EXPECT_EQ(units_of("a.mlp", {5, 8}, options), 40u);
  EXPECT_EQ(units_of("c_attn", {24, 8}, options), 6u);
  EXPECT_EQ(units_of("q_proj", {7, 3}, options), 1u);
  EXPECT_EQ(units_of("x.q_proj", {8, 8}, options), 2u) << "a pattern is the whole name";
}

TEST(AdamMiniPartitionTest, RanksOtherThanTwo) {
  EXPECT_EQ(units_of("mlp.norm.weight", {8}), 1u) << "rule 3, but one row";
  EXPECT_EQ(units_of("output.scale", {}), 1u);
  EXPECT_EQ(units_of("linear.conv", {4, 3, 2}), 4u);
}

/// One unit's second moment by hand: v = 0.1 * mean(g^2) after one step with beta2 0.9.
TEST(AdamMiniStepTest, EveryUnitsSecondMomentByHand) {
  AdamMiniOptions options = eight_wide();
  options.lr = 0.5;
  options.beta1 = 0.5;
  options.beta2 = 0.9;
  options.epsilon = 0.25;
  const ParameterSet parameters =
      parameter_set({{"mlp", {2, 3}}, {"wk", {8, 8}}, {"norm", {4}}, {"b.bias", {2}}, {"embed.scale", {}}});
  Training run(parameters, DType::float64, options);
  std::vector<Values> zeros;
  for (const Parameter& parameter : parameters) zeros.emplace_back(element_count(parameter.sizes), 0.0);
  run.weights.set_all(zeros);
  std::vector<Values> gradients = zeros;
  gradients[0] = {1, 2, 3, 4, 5, 6};
  for (std::size_t i = 0; i < 64; ++i) gradients[1][i] = i < 32 ? 2 : static_cast<double>(i % 2) * 4;
  gradients[2] = {1, 1, 1, 5};
  gradients[3] = {3, -4};
  gradients[4] = {-6};
  run.step(gradients);
  const auto seconds = [&](std::size_t i) { return run.optimizer.parameter_state(i)->values.at(1); };
  const auto expect_near = [](const Values& actual, const Values& expected) {
    ASSERT_EQ(actual.size(), expected.size());
    for (std::size_t i = 0; i < actual.size(); ++i) EXPECT_NEAR(actual[i], expected[i], 1e-14 * expected[i]);
  };
  expect_near(seconds(0), {0.1 * 14 / 3, 0.1 * 77 / 3});
  expect_near(seconds(1), {0.1 * 4, 0.1 * 8});
  expect_near(seconds(2), {0.1 * 28 / 4});
  expect_near(seconds(3), {0.1 * 9, 0.1 * 16});
  expect_near(seconds(4), {0.1 * 36});
  // Bias corrected, the root is that of the mean square itself.
  const Values moved = run.weights.values(0);
  for (std::size_t i = 0; i < 6; ++i) {
    const double root = std::sqrt((i < 3 ? 14.0 : 77.0) / 3) + 0.25;
    EXPECT_NEAR(moved[i], -0.5 * gradients[0][i] / root, 1e-14);
  }
  run.step(gradients);
  expect_near(seconds(2), {(0.9 * 0.1 + 0.1) * 7});
}

/// What the transform does to the gradient reaches the second moments too.
TEST(AdamMiniStepTest, SecondMomentsAreThoseOfTheTransformedGradient) {
  const ParameterSet parameters = parameter_set({{"mlp", {2, 2}}});
  AdamMiniOptions options;
  options.beta2 = 0.0;
  Training run(parameters, DType::float64, options, clip_by_global_norm(5.0));
  run.step({{30, 40, 0, 120}});  // norm 130, factor 5 / (130 + 1e-6)
  const double factor = 5.0 / (130.0 + 1e-6);
  const auto seconds = run.optimizer.parameter_state(0)->values.at(1);
  EXPECT_NEAR(seconds[0], 1250 * factor * factor, 1e-12);
  EXPECT_NEAR(seconds[1], 7200 * factor * factor, 1e-11);
}

/// Its second moments need norms, also where nothing else asks for them.
TEST(AdamMiniStepTest, UnderPassThroughWithoutTransformUnitsAreMeasuredAllTheSame) {
  const ParameterSet parameters = small_model(4);
  const auto run = [&](NonFinitePolicy policy) {
    Training training(parameters, DType::float32, eight_wide(), {}, {.run = {.nonfinite = policy}});
    std::mt19937_64 random(7);
    for (int step = 0; step < 3; ++step) training.step(random_gradients(random, parameters));
    return training.weight_bytes();
  };
  EXPECT_TRUE(run(NonFinitePolicy::pass_through) == run(NonFinitePolicy::skip_tensor));
}

TEST(AdamMiniStepTest, NormsGainsAndBiasesDoNotDecay) {
  AdamMiniOptions options = eight_wide();
  options.lr = 0.5;
  options.weight_decay = 0.5;
  for (const auto& [name, decays] :
       {std::pair("final_norm", false), std::pair("ln_f", false), std::pair("mlp.bias", false),
        std::pair("Norm.weight", false), std::pair("mlp.weight", true), std::pair("scale", true)}) {
    Training run(parameter_set({{name, {2, 2}}}), DType::float64, options);
    run.weights.set(0, Values(4, 1.0));
    run.step({Values(4, 0.0)});
    EXPECT_EQ(run.weights.values(0), Values(4, decays ? 0.75 : 1.0)) << name;
  }
}

}  // namespace
}  // namespace gradstab::testing
