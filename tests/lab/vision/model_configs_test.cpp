// Sizes of the models: the counts are the published ones.
#include "lab/vision/model_configs.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace gradstab::lab::vision {
namespace {

using ::testing::HasSubstr;

ModelConfig with_classes(const char* name, std::int64_t classes, std::int64_t channels = 3) {
  ModelConfig config = find_model(name)->config();
  std::visit(
      [&](auto& one) {
        one.classes = classes;
        one.channels = channels;
      },
      config);
  return config;
}

struct Counted {
  const char* name;
  std::int64_t of_1000, of_10;
};

class CountTest : public ::testing::TestWithParam<Counted> {};

TEST_P(CountTest, IsThePublishedOne) {
  EXPECT_EQ(parameter_count(with_classes(GetParam().name, 1000)), GetParam().of_1000);
  EXPECT_EQ(parameter_count(with_classes(GetParam().name, 10)), GetParam().of_10);
}

INSTANTIATE_TEST_SUITE_P(Models, CountTest,
                         ::testing::Values(Counted{"vit-ti16", 5717416, 5526346},
                                           Counted{"vit-s16", 22050664, 21669514},
                                           Counted{"vit-b16", 86567656, 85806346},
                                           Counted{"convnext-t", 28589128, 27827818},
                                           Counted{"resnet18", 11689512, 11181642},
                                           // A linear layer of 512 inputs has 513 * 990 numbers less.
                                           Counted{"resnet18-cifar", 11173962 + 513 * 990, 11173962},
                                           Counted{"resnet50", 25557032, 25557032 - 2049 * 990}),
                         [](const auto& tested) {
                           std::string name = tested.param.name;
                           std::erase(name, '-');
                           return name;
                         });

TEST(CountTest, OfTheSmallModels) {
  EXPECT_EQ(parameter_count(find_model("vit-mini")->config()), 139018);
  EXPECT_EQ(parameter_count(find_model("convnext-mini")->config()), 131170);
  EXPECT_EQ(parameter_count(find_model("resnet-mini")->config()), 77754);
}

TEST(ModelConfigTest, WhatCannotBeBuiltIsNamed) {
  VitConfig vit;
  vit.picture = 30;
  EXPECT_THAT(validate(ModelConfig(vit)).message(), HasSubstr("picture must be a multiple"));
  vit.picture = 32;
  EXPECT_TRUE(validate(ModelConfig(vit)).ok()) << "the control";
  vit.heads = 5;
  EXPECT_THAT(validate(ModelConfig(vit)).message(), HasSubstr("width must be a multiple of heads = 5"));
  ConvNextConfig convnext;
  convnext.blocks = {3};
  EXPECT_FALSE(validate(ModelConfig(convnext)).ok());
  convnext.blocks = {};
  convnext.widths = {};
  EXPECT_FALSE(validate(ModelConfig(convnext)).ok());
  ResNetConfig resnet;
  resnet.classes = 0;
  EXPECT_THAT(validate(ModelConfig(resnet)).message(), HasSubstr("classes must be at least 1, got 0"));
}

TEST(ModelConfigTest, SmallestPicturesLeaveAPixel) {
  EXPECT_EQ(smallest_picture(find_model("convnext-t")->config()), 32);
  EXPECT_EQ(smallest_picture(find_model("convnext-mini")->config()), 8);
  EXPECT_EQ(smallest_picture(find_model("vit-mini")->config()), 7);
}

TEST(ModelConfigTest, TheLastStageIsAsSmallAsItIs) {
  const auto side = [](const char* name, std::int64_t picture) {
    return last_side(std::get<ResNetConfig>(find_model(name)->config()), picture);
  };
  EXPECT_EQ(side("resnet50", 224), 7);
  EXPECT_EQ(side("resnet50", 32), 1);
  EXPECT_EQ(side("resnet18-cifar", 32), 4);
  EXPECT_EQ(side("resnet-mini", 28), 4);
}

TEST(ModelConfigTest, ActivationsGrowWithThePicture) {
  for (const NamedModel& model : named_models()) {
    if (std::holds_alternative<VitConfig>(model.config())) continue;
    EXPECT_NEAR(activations_per_picture(model.config(), 64) / activations_per_picture(model.config(), 32),
                4.0, 1e-9)
        << model.name;
  }
  VitConfig large;
  large.picture = 448;
  EXPECT_GT(activations_per_picture(large, 448), 4 * activations_per_picture(VitConfig(), 224));
}

}  // namespace
}  // namespace gradstab::lab::vision
