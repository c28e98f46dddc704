// save, load and rebind of whole transforms.
#include <gtest/gtest.h>

#include <string>

#include "gradstab/transforms.hpp"
#include "support/gradients.hpp"
#include "support/saved_moments.hpp"

namespace gradstab {
namespace {

using testing::Gradients;
using testing::saved_moments;
using testing::Values;

/// A transform that has seen `steps` gradients; the norm of parameter i is `first_norm + i` in each.
GradientTransform trained(GradientTransform transform, const ParameterSet& parameters, int steps,
                          double first_norm = 1.0) {
  EXPECT_TRUE(transform.init(parameters).ok());
  Gradients gradients(parameters, DType::float64);
  for (int step = 0; step < steps; ++step) {
    for (std::size_t t = 0; t < parameters.size(); ++t) {
      Values values(static_cast<std::size_t>(element_count(parameters[t].sizes)));
      values[0] = first_norm + static_cast<double>(t);
      gradients.set(t, values);
    }
    EXPECT_TRUE(transform.update(gradients.refs()).ok());
  }
  return transform;
}

const std::vector<Parameter> kThree = {{"a", {2}}, {"b", {3, 1}}, {"c", {4}}};

TEST(SavedStateTest, LoadRestoresMomentsAndCounters) {
  const ParameterSet parameters = testing::parameter_set(kThree);
  const GradientTransform source = trained(stabilize(), parameters, 5);
  GradientTransform target = trained(stabilize(), parameters, 2, 50.0);
  ASSERT_TRUE(target.load(source.save().value()).ok());
  EXPECT_EQ(saved_moments(target), saved_moments(source));
  EXPECT_EQ(target.save().value(), source.save().value());
}

TEST(SavedStateTest, ReorderedParametersLoadByName) {
  const GradientTransform source = trained(stabilize(), testing::parameter_set(kThree), 5);
  GradientTransform target = stabilize();
  ASSERT_TRUE(target.init(testing::parameter_set({{"c", {4}}, {"a", {2}}, {"b", {3, 1}}})).ok());
  ASSERT_TRUE(target.load(source.save().value()).ok());
  const auto before = saved_moments(source);
  const auto after = saved_moments(target);
  EXPECT_EQ(after[0], before[2]);
  EXPECT_EQ(after[1], before[0]);
  EXPECT_EQ(after[2], before[1]);
  EXPECT_NE(before[0], before[1]);
}

/// Loads `state` into a trained transform, which must refuse it and stay as it was.
Status refused(GradientTransform target, std::span<const std::byte> state) {
  const auto before = target.save().value();
  const Status status = target.load(state);
  EXPECT_FALSE(status.ok());
  EXPECT_EQ(target.save().value(), before);
  return status;
}

TEST(SavedStateTest, MismatchesSayWhichNameOrShapeDiffers) {
  const auto state = trained(stabilize(), testing::parameter_set(kThree), 3).save().value();
  const auto load_into = [&](std::vector<Parameter> parameters) {
    return refused(trained(stabilize(), testing::parameter_set(std::move(parameters)), 2, 9.0), state);
  };
  EXPECT_EQ(load_into({{"a", {2}}, {"b", {3, 1}}}).message(),
            "saved state has a parameter 'c' that is not registered here");
  EXPECT_EQ(load_into({{"a", {2}}, {"b", {3, 1}}, {"c", {4}}, {"d", {1}}}).message(),
            "saved state has no parameter 'd'");
  const Status shape = load_into({{"a", {2}}, {"b", {1, 3}}, {"c", {4}}});
  EXPECT_EQ(shape.code(), StatusCode::shape_mismatch);
  EXPECT_EQ(shape.message(), "parameter 'b' has shape [1, 3] here but [3, 1] in the saved state");
}

TEST(SavedStateTest, ADifferentSettingIsRefusedAndNamedWithBothValues) {
  const ParameterSet parameters = testing::parameter_set(kThree);
  const auto state = trained(stabilize(), parameters, 3).save().value();
  EXPECT_EQ(refused(trained(stabilize({.gamma2 = 0.9}), parameters, 2), state).message(),
            "stabilize has gamma2 = 0.9 here but gamma2 = 0.999 in the saved state");
  EXPECT_EQ(refused(trained(stabilize(StabilizerOptions::released()), parameters, 2), state).message(),
            "stabilize has epsilon = 1e-12 here but epsilon = 0 in the saved state");
  EXPECT_EQ(refused(trained(stabilize(StabilizerOptions::paper()), parameters, 2), state).message(),
            "stabilize has bias_correction = 0 here but bias_correction = 1 in the saved state");
  EXPECT_TRUE(trained(stabilize({.spike_ratio = 9.0}), parameters, 2).load(state).ok())
      << "the label of a spike is no part of the state";
}

TEST(SavedStateTest, AnotherMethodIsRefusedByName) {
  const ParameterSet parameters = testing::parameter_set(kThree);
  const auto state = trained(stabilize(), parameters, 3).save().value();
  EXPECT_EQ(refused(trained(clip_by_global_norm(1.0), parameters, 2), state).message(),
            "saved state is of 'stabilize', expected 'clip_by_global_norm'");
  EXPECT_EQ(refused(trained(chain(clip_by_global_norm(1.0), stabilize()), parameters, 2), state).message(),
            "saved state has 1 methods, this transform has 2");
}

TEST(SavedStateTest, AChainSavesEveryLink) {
  const ParameterSet parameters = testing::parameter_set(kThree);
  const auto make = [] { return chain(record_norms(), clip_by_global_norm(1.0), stabilize()); };
  const GradientTransform source = trained(make(), parameters, 7);
  GradientTransform target = trained(make(), parameters, 1, 30.0);
  ASSERT_TRUE(target.load(source.save().value()).ok());
  EXPECT_EQ(target.save().value(), source.save().value());
}

TEST(SavedStateTest, AfterARollbackTheStepNumbersMayStartAgainFromTheCheckpoint) {
  const ParameterSet parameters = testing::parameter_set({{"w", {1}}});
  GradientTransform transform = stabilize();
  ASSERT_TRUE(transform.init(parameters).ok());
  Gradients gradients(parameters, DType::float64);
  std::vector<std::byte> checkpoint;
  for (int step = 1; step <= 20; ++step) {
    gradients.set(0, Values{1.0});
    ASSERT_TRUE(transform.update(gradients.refs(), step).ok());
    if (step == 10) checkpoint = transform.save().value();
  }
  ASSERT_TRUE(transform.load(checkpoint).ok());
  EXPECT_TRUE(transform.update(gradients.refs(), 11).ok());
  EXPECT_FALSE(transform.update(gradients.refs(), 11).ok());
}

TEST(RebindTest, KeepsStateByNameAndStartsNewNamesFresh) {
  GradientTransform transform = trained(stabilize(), testing::parameter_set(kThree), 5);
  const auto before = saved_moments(transform);
  ASSERT_TRUE(transform.rebind(testing::parameter_set({{"new", {7}}, {"c", {4}}, {"a", {2}}})).ok());
  EXPECT_EQ(transform.parameters().size(), 3u);
  const auto after = saved_moments(transform);
  EXPECT_EQ(after[0], NormMoments{});
  EXPECT_EQ(after[1], before[2]);
  EXPECT_EQ(after[2], before[0]);

  Gradients gradients(transform.parameters(), DType::float32);
  gradients.set_all({Values(7, 1.0), Values(4, 1.0), Values(2, 1.0)});
  const auto report = transform.update(gradients.refs());
  ASSERT_TRUE(report.ok()) << report.status().message();
  EXPECT_EQ(report->step, 6);
}

TEST(RebindTest, AChangedShapeIsRefusedAndNothingIsLost) {
  GradientTransform transform = trained(stabilize(), testing::parameter_set(kThree), 5);
  const auto before = transform.save().value();
  const Status status = transform.rebind(testing::parameter_set({{"a", {2}}, {"b", {9}}}));
  EXPECT_EQ(status.code(), StatusCode::shape_mismatch);
  EXPECT_EQ(status.message(), "parameter 'b' has shape [9] here but [3, 1] in the saved state");
  EXPECT_EQ(transform.parameters().size(), 3u);
  EXPECT_EQ(transform.save().value(), before);
}

TEST(RebindTest, KeepsRefusingTheStepThatWasMade) {
  const ParameterSet parameters = testing::parameter_set({{"w", {1}}});
  GradientTransform transform = stabilize();
  ASSERT_TRUE(transform.init(parameters).ok());
  Gradients gradients(parameters, DType::float64);
  gradients.set(0, Values{1.0});
  ASSERT_TRUE(transform.update(gradients.refs(), 4).ok());
  ASSERT_TRUE(transform.rebind(parameters).ok());
  EXPECT_FALSE(transform.update(gradients.refs(), 4).ok());
  EXPECT_TRUE(transform.update(gradients.refs(), 5).ok());
}

}  // namespace
}  // namespace gradstab
