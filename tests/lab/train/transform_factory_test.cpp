// From the settings of a run to the chain that transforms its gradients.
#include "lab/train/transform_factory.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>

#include "gradstab/methods.hpp"
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
    EXPECT_EQ(make_transform(with(name)).name(), "chain(record_norms, " + name + ")");
    ++count;
  }
  EXPECT_EQ(count, methods().size());
  for (const auto& [old, now] : {std::pair("clip", "clip_by_global_norm"), std::pair("scale", "scale_by")})
    EXPECT_EQ(make_transform(with(old)).name(), std::string("chain(record_norms, ") + now + ")");
}

TEST(TransformFactoryTest, SettingsReachTheMethods) {
  expect_pair(transformed(with("none")), 3, 4);
  expect_pair(transformed(with("clip")), 0.6, 0.8);
  expect_pair(transformed(with("clip_by_global_norm(max_norm=2.5)")), 1.5, 2);
  expect_pair(transformed(with("clip_by_value")), 0.1, 0.1);
  expect_pair(transformed(with("clip_by_value(max_abs=3.5)")), 3, 3.5);
  expect_pair(transformed(with("scale_by(factor=5)")), 15, 20);
  expect_pair(transformed(with("normalize")), 0.6, 0.8);
  // A limit of 0.01 times the parameter's norm of 0.5.
  expect_pair(transformed(with("adaptive_clip")), 0.003, 0.004);
  expect_pair(transformed(with("stabilize")), 0.6, 0.8);
  expect_pair(transformed(with("stabilize(bias_correction=false)")), 0.6 * 12.649110640673518,
              0.8 * 12.649110640673518);
}

TEST(TransformFactoryTest, AChainKeepsItsOrder) {
  expect_pair(transformed(with("scale_by(factor=0.1)+clip_by_value(max_abs=0.35)")), 0.3, 0.35);
  expect_pair(transformed(with("clip_by_value(max_abs=0.35)+scale_by(factor=0.1)")), 0.035, 0.035);
}

TEST(TransformFactoryTest, FlagsStandForSettingsOfTheirMethods) {
  const auto folded = [](const std::string& transform, const std::string& name, const std::string& value) {
    return with_shorthands(transform, {{name, value}}).value();
  };
  EXPECT_EQ(folded("stabilize", "gamma1", "0.5"), "stabilize(gamma1=0.5)");
  EXPECT_EQ(folded("stabilize", "form", "paper"), "stabilize(bias_correction=false)");
  EXPECT_EQ(folded("stabilize", "form", "released"), "stabilize");
  EXPECT_EQ(folded("clip+stabilize", "kappa", "3.0"), "clip_by_global_norm+stabilize(robust_kappa=3)");
  EXPECT_EQ(folded("stabilize", "granularity", "row"), "stabilize(granularity=row)");
  EXPECT_EQ(folded("clip", "max_norm", "0.25"), "clip_by_global_norm(max_norm=0.25)");
  EXPECT_EQ(folded("clip_by_value", "max_abs", "0.25"), "clip_by_value(max_abs=0.25)");
  EXPECT_EQ(folded("scale", "scale", "2"), "scale_by(factor=2)");
  EXPECT_EQ(folded("stabilize(gamma1=0.9)", "gamma1", "0.5"), "stabilize(gamma1=0.5)") << "the flag counts";
  EXPECT_EQ(folded("zclip", "gamma1", "0.5"), "zclip") << "of a method that is not in the chain";
  EXPECT_EQ(with_shorthands("zclip", {{"gamma1", "1.5"}}).status().message(),
            "gamma1 must be in [0, 1), got 1.5");
  EXPECT_EQ(folded("none", "gamma1", "0.5"), "none");
}

TEST(TransformFactoryTest, WhatIsNotKnownIsNamed) {
  for (const char* wrong : {"", "+", "clip+", "+clip", "clip++clip", "none+clip", "clips", "clip stabilize"})
    EXPECT_FALSE(check_transform(wrong).ok()) << wrong;
  EXPECT_EQ(check_transform("clip+stabilise").message(),
            "'stabilise' is no method of this library; did you mean stabilize?");
  EXPECT_THAT(check_transform("zclip(z_tresh=3)").message(),
              HasSubstr("did you mean z_threshold, which must be"));
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
