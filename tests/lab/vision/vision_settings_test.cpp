// The settings of the vision task: what they become, and what is refused.
#include "lab/vision/vision_settings.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "lab/vision/vision_kind.hpp"

namespace gradstab::lab::vision {
namespace {

using ::testing::HasSubstr;

std::string complaint(const SettingTexts& settings) {
  TrainOptions options = default_options(vision_kind());
  for (const auto& [name, value] : settings) {
    if (const Status set = set_setting(options, name, value); !set.ok()) return set.message();
  }
  return options.validate().message();
}

TEST(VisionSettingsTest, DefaultsAreValid) {
  EXPECT_EQ(complaint({}), "");
}

TEST(VisionSettingsTest, TheHelpNamesEveryModel) {
  VisionSettings settings;
  std::string help_of_model;
  visit_settings(settings, [&](const char* name, const auto&, const char* help) {
    if (std::string(name) == "model") help_of_model = help;
  });
  for (const NamedModel& model : named_models())
    EXPECT_THAT(help_of_model, HasSubstr(std::string(model.name)));
}

TEST(VisionSettingsTest, WhatIsOutOfRangeIsNamed) {
  EXPECT_THAT(complaint({{"model", "vit"}}), HasSubstr("model must be one of vit-mini, vit-ti16"));
  EXPECT_THAT(complaint({{"crop", "centre"}}), HasSubstr("crop must be one of none, random_resized, padded"));
  EXPECT_THAT(complaint({{"policy", "auto"}}), HasSubstr("policy must be one of none, random_augment"));
  EXPECT_THAT(complaint({{"normalization", "x"}}),
              HasSubstr("normalization must be one of none, imagenet, data"));
  EXPECT_THAT(complaint({{"decayed", "x"}}), HasSubstr("decayed must be one of all, not_norms, matrices"));
  EXPECT_EQ(complaint({{"validation", "-1"}}), "validation must be at least 0, got -1");
  EXPECT_EQ(complaint({{"flip", "1.5"}}), "flip must be in [0, 1], got 1.5");
  EXPECT_EQ(complaint({{"label_smoothing", "1"}}), "label_smoothing must be in [0, 1), got 1");
  EXPECT_EQ(complaint({{"mixup", "-1"}}), "mixup must be finite and at least 0, got -1");
  EXPECT_EQ(complaint({{"repeats", "0"}}), "repeats must be at least 1, got 0");
  EXPECT_EQ(complaint({{"workers", "-1"}}), "workers must be at least 0, got -1");
  EXPECT_EQ(complaint({{"precision", "bf16"}}), "precision must be fp32 for this task, got 'bf16'");
  EXPECT_EQ(complaint({{"data", ""}}), "data must be a folder or fashion-mnist, got an empty name");
}

TEST(VisionSettingsTest, SizesMustFitTheModel) {
  EXPECT_EQ(complaint({{"picture_size", "30"}}),
            "picture_size must be a multiple of 7, the size of vit-mini's patches, got 30");
  EXPECT_EQ(complaint({{"picture_size", "35"}}), "");
  EXPECT_THAT(complaint({{"eval_size", "35"}}), HasSubstr("eval_size must be 0 for a ViT"));
  EXPECT_EQ(complaint({{"model", "convnext-mini"}, {"picture_size", "7"}}),
            "picture_size must be at least 8, got 7");
  EXPECT_EQ(complaint({{"model", "resnet50"}, {"eval_resize", "200"}}),
            "eval_resize must be at least 224, got 200");
  EXPECT_EQ(complaint({{"model", "resnet50"}, {"eval_resize", "256"}}), "");
}

TEST(VisionSettingsTest, WhatHasNoEffectIsRefused) {
  EXPECT_EQ(complaint({{"crop", "none"}, {"padding", "4"}}), "padding must be 2 without crop=padded, got 4");
  EXPECT_EQ(complaint({{"crop_least", "0.5"}}),
            "crop_least must be 0.08 without crop=random_resized, got 0.5");
  EXPECT_EQ(complaint({{"policy_count", "3"}}),
            "policy_count must be 2 without policy=random_augment, got 3");
  EXPECT_EQ(complaint({{"model", "resnet-mini"}, {"drop_path", "0.1"}}),
            "drop_path must be 0 for this model, which has no stochastic depth, got 0.1");
  EXPECT_EQ(complaint({{"model", "convnext-mini"}, {"dropout", "0.1"}}),
            "dropout must be 0 for this model, which has no dropout, got 0.1");
  EXPECT_EQ(complaint({{"layer_scale", "0.1"}}),
            "layer_scale must be 1e-06 for this model, which has no such scales, got 0.1");
  EXPECT_EQ(complaint({{"model", "convnext-mini"}, {"layer_scale", "0.1"}}), "") << "the control";
  EXPECT_EQ(complaint({{"decayed", "matrices"}, {"weight_decay", "0"}}), "")
      << "a sweep over weight decay begins at 0";
}

TEST(VisionSettingsTest, EveryRecipeIsValid) {
  for (const Recipe& recipe : vision_kind().recipes()) {
    TrainOptions options = default_options(vision_kind());
    EXPECT_TRUE(apply_recipe(options, recipe.name).ok()) << recipe.name;
    EXPECT_EQ(options.validate().message(), "") << recipe.name;
  }
}

TEST(VisionSettingsTest, PublishedRecipesAreThePublishedOnes) {
  const auto applied = [](const char* recipe) {
    TrainOptions options = default_options(vision_kind());
    apply_recipe(options, recipe).check();
    return options;
  };
  const TrainOptions vit = applied("vit-b16");
  EXPECT_EQ(vit.batch * vit.accumulation, 4096);
  EXPECT_EQ(parameter_count(model_config(vision_settings(vit), 3, 1000)), 86567656);
  EXPECT_EQ(training_augmentation(vision_settings(vit)).policy, Policy::random_augment);
  const TrainOptions convnext = applied("convnext-t");
  EXPECT_EQ(convnext.batch * convnext.accumulation, 1024);
  EXPECT_EQ(training_augmentation(vision_settings(convnext)).size, 176);
  EXPECT_EQ(evaluation_augmentation(vision_settings(convnext)).size, 224);
  EXPECT_EQ(evaluation_augmentation(vision_settings(convnext)).evaluation_resize, 232);
  EXPECT_EQ(std::get<ConvNextConfig>(model_config(vision_settings(convnext))).layer_scale, 1e-6);
  const TrainOptions resnet = applied("resnet50");
  EXPECT_EQ(resnet.batch * resnet.accumulation, 256);
  EXPECT_EQ(resnet.optimizer, "sgd");
  EXPECT_EQ(training_augmentation(vision_settings(resnet)).crop, Crop::random_resized);
}

TEST(VisionSettingsTest, EvaluationsHaveNothingRandom) {
  TrainOptions options = default_options(vision_kind());
  for (const auto& [name, value] : {std::pair("mixup", "1"),
                                    {"cutmix", "1"},
                                    {"erase", "0.5"},
                                    {"policy", "trivial_augment"},
                                    {"repeats", "3"}})
    ASSERT_TRUE(set_setting(options, name, value).ok());
  const AugmentationOptions training = training_augmentation(vision_settings(options));
  EXPECT_EQ(training.mixup_alpha, 1.0);
  EXPECT_EQ(training.repeats, 3);
  const AugmentationOptions evaluation = evaluation_augmentation(vision_settings(options));
  EXPECT_EQ(evaluation.crop, Crop::none);
  EXPECT_EQ(evaluation.flip, 0.0);
  EXPECT_EQ(evaluation.policy, Policy::none);
  EXPECT_EQ(evaluation.erase, 0.0);
  EXPECT_EQ(evaluation.mixup_alpha + evaluation.cutmix_alpha, 0.0);
  EXPECT_EQ(evaluation.repeats, 1);
}

TEST(VisionTimeTest, IsKnownForWhatWasMeasured) {
  TrainOptions options = default_options(vision_kind());
  apply_recipe(options, "cpu").check();
  const auto whole = vision_kind().core_seconds(options);
  ASSERT_TRUE(whole.has_value());
  EXPECT_GT(*whole, 60.0);
  EXPECT_LT(*whole, 600.0);
  options.epochs = 1;
  EXPECT_LT(*vision_kind().core_seconds(options), *whole);
  ASSERT_TRUE(set_setting(options, "data", "elsewhere").ok());
  EXPECT_FALSE(vision_kind().core_seconds(options).has_value());
}

}  // namespace
}  // namespace gradstab::lab::vision
