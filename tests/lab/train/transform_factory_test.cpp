// From the settings of a run to the chain that transforms its gradients.
#include "lab/train/transform_factory.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>

#include "gradstab/transforms.hpp"

namespace gradstab::lab {
namespace {

using ::testing::HasSubstr;

TrainOptions with(const std::string& transform) {
  TrainOptions options;
  options.transform = transform;
  return options;
}

/// A gradient of (3, 4) and parameters of (0.3, 0.4) after one step.
std::vector<float> transformed(const TrainOptions& options) {
  std::vector<float> gradient = {3, 4};
  std::vector<float> parameter = {0.3f, 0.4f};
  const std::vector<std::int64_t> sizes = {2};
  const auto reference = [&](std::vector<float>& values) {
    return TensorRef{.data = values.data(), .sizes = sizes, .strides = {}};
  };
  GradientTransform transform = make_transform(options);
  EXPECT_TRUE(transform.init(ParameterSet::create({{"w", {2}}}).value()).ok());
  const auto gradients = {reference(gradient)};
  const auto parameters = {reference(parameter)};
  EXPECT_TRUE(transform.update(std::span(gradients), std::span(parameters)).ok());
  return gradient;
}

void expect_pair(const std::vector<float>& values, double first, double second) {
  EXPECT_NEAR(values.at(0), first, 1e-6 * first);
  EXPECT_NEAR(values.at(1), second, 1e-6 * second);
}

TEST(TransformFactoryTest, EveryKnownMethodIsMadeAndNamed) {
  std::istringstream names(known_transforms());
  std::size_t count = 0;
  for (std::string name; std::getline(names >> std::ws, name, ',');) {
    EXPECT_TRUE(check_transform(name).ok()) << name;
    const std::string library_name = name == "clip"    ? "clip_by_global_norm"
                                     : name == "scale" ? "scale_by"
                                                       : name;
    EXPECT_EQ(make_transform(with(name)).name(), "chain(record_norms, " + library_name + ")");
    ++count;
  }
  EXPECT_EQ(count, 11u);
}

TEST(TransformFactoryTest, SettingsReachTheMethods) {
  expect_pair(transformed(with("none")), 3, 4);
  expect_pair(transformed(with("clip")), 0.6, 0.8);
  TrainOptions options = with("clip");
  options.max_norm = 2.5;
  expect_pair(transformed(options), 1.5, 2);
  options = with("clip_by_value");
  expect_pair(transformed(options), 0.1, 0.1);
  options.max_abs = 3.5;
  expect_pair(transformed(options), 3, 3.5);
  options = with("scale");
  options.scale = 5;
  expect_pair(transformed(options), 15, 20);
  expect_pair(transformed(with("normalize")), 0.6, 0.8);
  // A limit of 0.01 times the parameter's norm of 0.5.
  expect_pair(transformed(with("adaptive_clip")), 0.003, 0.004);
  options = with("stabilize");
  expect_pair(transformed(options), 0.6, 0.8);
  options.form = "paper";
  expect_pair(transformed(options), 0.6 * 12.649110640673518, 0.8 * 12.649110640673518);
}

TEST(TransformFactoryTest, AChainKeepsItsOrder) {
  TrainOptions options = with("scale+clip_by_value");
  options.scale = 0.1;
  options.max_abs = 0.35;
  expect_pair(transformed(options), 0.3, 0.35);
  options.transform = "clip_by_value+scale";
  expect_pair(transformed(options), 0.035, 0.035);
}

TEST(TransformFactoryTest, WhatIsNotKnownIsNamed) {
  for (const char* wrong : {"", "+", "clip+", "+clip", "clip++clip", "none+clip", "clips", "clip stabilize"})
    EXPECT_FALSE(check_transform(wrong).ok()) << wrong;
  EXPECT_EQ(check_transform("clip+magic").message(), "transform must be none or a chain, joined by '+', of " +
                                                         known_transforms() +
                                                         "; got 'magic' in 'clip+magic'");
  EXPECT_THAT(check_transform("magic").message(), ::testing::EndsWith("; got 'magic'"));
}

TEST(TransformFactoryTest, BaselinesTreatNonFiniteGradientsAsTheirUsersKnowIt) {
  EXPECT_EQ(nonfinite_policy(with("clip+stabilize")), NonFinitePolicy::skip_tensor);
  EXPECT_EQ(nonfinite_policy(with("zclip")), NonFinitePolicy::pass_through);
  EXPECT_EQ(nonfinite_policy(with("none")), NonFinitePolicy::pass_through);
  TrainOptions options = with("zclip");
  options.nonfinite = "skip_step";
  EXPECT_EQ(nonfinite_policy(options), NonFinitePolicy::skip_step);
}

}  // namespace
}  // namespace gradstab::lab
