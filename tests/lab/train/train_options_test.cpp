// Settings of a run: to and from JSON, and what is made of them.
#include "lab/train/train_options.hpp"

#include <gtest/gtest.h>

#include <fstream>

#include "tests/lab/llm_options.hpp"

namespace gradstab::lab {
namespace {

TrainOptions with(const std::string& precision) {
  TrainOptions options = llm_options();
  options.precision = precision;
  return options;
}

TEST(ProjectionQuantizersTest, OnlyFourBitPrecisionsHaveThem) {
  for (const char* precision : {"fp32", "bf16", "fp16"}) EXPECT_FALSE(projection_quantizers(with(precision)));
}

TEST(ProjectionQuantizersTest, Fp4RoundsBothOperandsAlike) {
  const auto e1m2 = projection_quantizers(with("fp4")).value();
  for (const QuantizerOptions& operand : {e1m2.weights, e1m2.activations}) {
    EXPECT_EQ(operand.format, QuantizerFormat::fp4_e1m2);
    EXPECT_EQ(operand.group_size, 256);
    EXPECT_EQ(operand.keep_largest, 0);
    EXPECT_EQ(operand.compat, Compat::robust);
    EXPECT_EQ(operand.rounding, QuantizerRounding::nearest_even);
  }
  TrainOptions options = with("fp4");
  llm_settings(options).fp4_format = "e2m1";
  llm_settings(options).quantization_group = 32;
  llm_settings(options).quantization_rounding = "stochastic";
  options.seed = 9;
  const auto e2m1 = projection_quantizers(options).value();
  for (const QuantizerOptions& operand : {e2m1.weights, e2m1.activations}) {
    EXPECT_EQ(operand.format, QuantizerFormat::fp4_e2m1);
    EXPECT_EQ(operand.group_size, 32);
    EXPECT_EQ(operand.rounding, QuantizerRounding::stochastic);
    EXPECT_EQ(operand.seed, 9u);
  }
}

TEST(ProjectionQuantizersTest, Int4HasAsymmetricWeightsAndKeepsTwoActivations) {
  const auto int4 = projection_quantizers(with("int4")).value();
  EXPECT_EQ(int4.weights.format, QuantizerFormat::int4_weight);
  EXPECT_EQ(int4.weights.keep_largest, 0);
  EXPECT_EQ(int4.activations.format, QuantizerFormat::int4_activation);
  EXPECT_EQ(int4.activations.keep_largest, 2);
}

TEST(ProjectionQuantizersTest, ReleasedIsWhatTheAuthorsTrainWith) {
  TrainOptions options = with("fp4");
  llm_settings(options).quantization_compat = "released";
  const auto fp4 = projection_quantizers(options).value();
  EXPECT_EQ(fp4.weights.compat, Compat::released);
  EXPECT_EQ(fp4.weights.keep_largest, 2);
  EXPECT_TRUE(options.validate().ok());
  options.precision = "int4";
  EXPECT_EQ(projection_quantizers(options).value().activations.compat, Compat::released);
  EXPECT_TRUE(options.validate().ok());
}

TEST(LlamaConfigTest, LayersReplaceThoseOfTheSize) {
  TrainOptions options = llm_options();
  const LlamaConfig as_named = llama_config(options).value();
  EXPECT_EQ(as_named.layers, 5);
  llm_settings(options).layers = 12;
  const LlamaConfig deep = llama_config(options).value();
  EXPECT_EQ(deep.layers, 12);
  EXPECT_EQ(deep.hidden, as_named.hidden);
  llm_settings(options).layers = -1;
  EXPECT_EQ(options.validate().message(), "layers must be at least 0, got -1");
}

TEST(TrainOptionsJsonTest, WhatWasWrittenIsRead) {
  TrainOptions options = with("fp4");
  llm_settings(options).layers = 7;
  options.lr = 0.25;
  options.step_in_backward = true;
  EXPECT_EQ(to_json(train_options_from_json(llm_kind(), to_json(options)).value()), to_json(options));
}

TEST(TrainOptionsJsonTest, ASettingThatIsMissingHasItsDefault) {
  auto settings = to_json(with("fp4"));
  settings.erase("layers");
  settings["lr"] = 0.25;
  const TrainOptions options = train_options_from_json(llm_kind(), settings).value();
  EXPECT_EQ(llm_settings(options).layers, 0);
  EXPECT_EQ(options.lr, 0.25);
  EXPECT_EQ(options.precision, "fp4");
}

TEST(TrainOptionsJsonTest, WhatIsNotKnownOrNoSettingIsRefused) {
  auto settings = to_json(llm_options());
  settings["depth"] = 3;
  EXPECT_EQ(train_options_from_json(llm_kind(), settings).status().message(),
            "unknown setting 'depth'; was it written by a newer version?");
  settings = to_json(llm_options());
  settings["steps"] = "many";
  EXPECT_EQ(train_options_from_json(llm_kind(), settings).status().message(),
            "steps must be a whole number, got \"many\"");
  const nlohmann::ordered_json run = {{"settings", settings}};
  EXPECT_EQ(train_options_from_json(llm_kind(), JsonReader(run, "run.json")["settings"]).status().message(),
            "run.json: settings.steps must be a whole number, got \"many\"");
  settings["steps"] = 10.0;
  EXPECT_EQ(train_options_from_json(llm_kind(), settings).status().message(),
            "steps must be a whole number, got 10.0");
  settings["steps"] = 10;
  settings["seed"] = -1;
  EXPECT_EQ(train_options_from_json(llm_kind(), settings).status().message(),
            "seed must be a whole number of at least 0, got -1");
  EXPECT_EQ(train_options_from_json(llm_kind(), nullptr).status().code(), StatusCode::corrupt_data);
}

/// What versions before this one wrote beside the transform, as they wrote it.
nlohmann::ordered_json of_an_older_version(const std::string& transform) {
  auto settings = to_json(llm_options());
  settings["transform"] = transform;
  settings.update({{"gamma1", 0.6},
                   {"gamma2", 0.999},
                   {"form", "released"},
                   {"kappa", 0.0},
                   {"granularity", "tensor"},
                   {"max_norm", 1.0},
                   {"max_abs", 0.1},
                   {"scale", 1.0}});
  return settings;
}

TEST(TrainOptionsJsonTest, RunsOfOlderVersionsSayWhatTheyMeant) {
  const auto read = [](const nlohmann::ordered_json& settings) {
    return train_options_from_json(llm_kind(), settings).value().transform;
  };
  auto settings = of_an_older_version("clip+stabilize");
  EXPECT_EQ(read(settings), "clip_by_global_norm+stabilize");
  EXPECT_EQ(in_words_of_today(settings), to_json(train_options_from_json(llm_kind(), settings).value()));
  settings.update(
      {{"gamma1", 0.7}, {"form", "paper"}, {"kappa", 3.0}, {"granularity", "row"}, {"max_norm", 0.25}});
  EXPECT_EQ(read(settings),
            "clip_by_global_norm(max_norm=0.25)+stabilize(gamma1=0.7, bias_correction=false, "
            "robust_kappa=3, granularity=row)");
  settings = of_an_older_version("scale+clip_by_value");
  settings.update({{"scale", 0.5}, {"max_abs", 2.0}});
  EXPECT_EQ(read(settings), "scale_by(factor=0.5)+clip_by_value(max_abs=2)");
  EXPECT_EQ(read(of_an_older_version("none")), "none");
}

/// The run.json of a run that an older version made.
TEST(TrainOptionsJsonTest, TheFileOfAnOlderRunIsRead) {
  std::ifstream file(GRADSTAB_OLDER_RUN);
  const auto run = nlohmann::ordered_json::parse(file);
  const TrainOptions options = train_options_from_json(llm_kind(), run.at("settings")).value();
  EXPECT_EQ(options.transform,
            "clip_by_global_norm(max_norm=0.5)+adagc(relative=1.05, beta=0.98)+stabilize(gamma1=0.7, "
            "bias_correction=false, robust_kappa=3, granularity=row)");
  EXPECT_EQ(options.steps, 40);
  EXPECT_TRUE(are_settings_of(options, run.at("settings")));
  auto other = run.at("settings");
  other["kappa"] = 2.0;
  EXPECT_FALSE(are_settings_of(options, other));
}

/// Its "adagc" had the settings of the first version of the paper; ours has the library's.
TEST(TrainOptionsJsonTest, AdaGcOfOlderVersionsKeepsItsSettings) {
  EXPECT_EQ(train_options_from_json(llm_kind(), of_an_older_version("adagc")).value().transform,
            "adagc(relative=1.05, beta=0.98)");
  TrainOptions options = llm_options();
  options.transform = "adagc";
  EXPECT_EQ(to_json(options).at("transform"), "adagc(relative=1.04, beta=0.99)");
  EXPECT_EQ(train_options_from_json(llm_kind(), to_json(options)).value().transform, "adagc");
}

TEST(TrainOptionsJsonTest, TellsTheSettingsOfARunFromOthers) {
  const TrainOptions options = with("bf16");
  auto settings = to_json(options);
  settings["threads"] = 7;
  settings.erase("layers");
  EXPECT_TRUE(are_settings_of(options, settings));
  settings["layers"] = 3;
  EXPECT_FALSE(are_settings_of(options, settings));
  EXPECT_FALSE(are_settings_of(options, nullptr));
}

TEST(DeviceSettingTest, NamesTheCpuOrACudaDevice) {
  TrainOptions options = llm_options();
  EXPECT_EQ(options.device, "cpu");
  EXPECT_FALSE(options.on_device());
  for (const char* device : {"cuda", "cuda:0", "cuda:7", "cuda:127"}) {
    options.device = device;
    EXPECT_TRUE(options.validate().ok()) << options.validate().message();
    EXPECT_TRUE(options.on_device());
  }
  for (const char* device : {"", "gpu", "CUDA", "cuda:", "cuda:-1", "cuda:+1", "cuda:01", "cuda:1x",
                             "cuda:128", "cuda:99999999999", "cpu:0"}) {
    options.device = device;
    EXPECT_EQ(options.validate().message(),
              "device must be cpu, cuda or cuda:N, N from 0 to 127, got '" + std::string(device) + "'");
  }
}

TEST(DeviceSettingTest, WhatOnlyTheCpuDoesIsRefused) {
  TrainOptions options = llm_options();
  options.device = "cuda";
  options.step_in_backward = true;
  EXPECT_TRUE(options.validate().ok()) << "a device steps tensor by tensor, too";
  options = with("fp4");
  options.device = "cuda:1";
  EXPECT_TRUE(options.validate().ok());
  llm_settings(options).quantization_rounding = "stochastic";
  EXPECT_EQ(
      options.validate().message(),
      "device must be cpu with quantization_rounding 'stochastic', whose draws are made on the host, got "
      "'cuda:1'");
  options.precision = "bf16";  // rounds nothing to four bits
  EXPECT_TRUE(options.validate().ok());
}

TEST(DeviceSettingTest, ARunThatIsOlderWasOnTheCpuAndStaysThere) {
  TrainOptions options = llm_options();
  auto settings = to_json(options);
  settings.erase("device");
  EXPECT_EQ(train_options_from_json(llm_kind(), settings).value().device, "cpu");
  EXPECT_TRUE(are_settings_of(options, settings));
  options.device = "cuda";
  EXPECT_FALSE(are_settings_of(options, settings));
  EXPECT_TRUE(are_settings_of(options, to_json(options)));
}

}  // namespace
}  // namespace gradstab::lab
