#include "lab/llm/llama_config.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace gradstab::lab {
namespace {

struct PublishedSize {
  const char* name;
  std::int64_t total, projections;
};

// The sizes as published, counted by hand.
constexpr PublishedSize kPublished[] = {
    {"9m", 8'995'968, 802'816},           {"20m", 19'548'416, 3'162'112},
    {"35m", 35'197'824, 10'616'832},      {"40m", 42'392'480, 15'761'408},
    {"60m", 58'073'600, 25'296'896},      {"71m", 70'578'688, 37'797'888},
    {"100m", 100'117'120, 59'013'120},    {"130m", 134'105'856, 84'934'656},
    {"250m", 247'370'496, 198'180'864},   {"350m", 367'969'280, 302'383'104},
    {"1b", 1'339'082'752, 1'207'910'400}, {"3b", 2'685'831'680, 2'521'825'280},
    {"7b", 6'738'415'616, 6'476'005'376},
};

TEST(LlamaConfigTest, ParameterCountsEqualTheRecipe) {
  for (const PublishedSize& size : kPublished) {
    const LlamaConfig config = llama_config(size.name).value();
    EXPECT_EQ(parameter_count(config), size.total) << size.name;
    EXPECT_EQ(projection_parameter_count(config), size.projections) << size.name;
    EXPECT_EQ(non_embedding_parameter_count(config), size.total - 2 * config.vocab_size * config.hidden)
        << size.name;
    EXPECT_TRUE(config.validate().ok()) << size.name;
  }
}

TEST(LlamaConfigTest, TheSizeForTwoCoresHasAMillionNonEmbeddingParameters) {
  const LlamaConfig config = llama_config("1m").value();
  EXPECT_EQ(non_embedding_parameter_count(config), 1'004'928);
  EXPECT_EQ(config.head_dim(), 32);
}

TEST(LlamaConfigTest, VocabularyCanBeReplaced) {
  LlamaConfig config = llama_config("60m").value();
  const std::int64_t before = parameter_count(config);
  config.vocab_size = 1000;
  EXPECT_EQ(parameter_count(config), before - 2 * 31000 * 512);
}

TEST(LlamaConfigTest, UnknownNameIsNamedBesideTheKnownOnes) {
  const auto result = llama_config("13b");
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.status().code(), StatusCode::invalid_argument);
  EXPECT_THAT(result.status().message(), testing::HasSubstr("'13b'"));
  EXPECT_THAT(result.status().message(), testing::HasSubstr("1m, 9m, 20m"));
  EXPECT_THAT(result.status().message(), testing::HasSubstr("7b"));
}

TEST(LlamaConfigTest, ImpossibleDimensionsAreRefused) {
  const auto message_of = [](auto change) {
    LlamaConfig config = llama_config("1m").value();
    change(config);
    return config.validate().message();
  };
  EXPECT_THAT(message_of([](LlamaConfig& c) { c.heads = 3; }), testing::HasSubstr("hidden 128 over 3 heads"));
  EXPECT_THAT(message_of([](LlamaConfig& c) { c.heads = 128; }), testing::HasSubstr("even"));
  EXPECT_THAT(message_of([](LlamaConfig& c) { c.heads = 0; }), testing::HasSubstr("heads is 0"));
  EXPECT_THAT(message_of([](LlamaConfig& c) { c.vocab_size = -1; }), testing::HasSubstr("vocab_size is -1"));
  EXPECT_THAT(message_of([](LlamaConfig& c) { c.norm_epsilon = 0; }), testing::HasSubstr("norm_epsilon"));
}

}  // namespace
}  // namespace gradstab::lab
