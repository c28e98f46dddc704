// The rule of dynamic loss scaling, with numbers worked out by hand.
#include "lab/train/loss_scaler.hpp"

#include <gtest/gtest.h>

#include <limits>

namespace gradstab::lab {
namespace {

void good_steps(LossScaler& scaler, int count) {
  for (int i = 0; i < count; ++i) scaler.update(false);
}

TEST(LossScalerTest, DefaultsAreThePublishedOnes) {
  LossScaler scaler;
  EXPECT_EQ(scaler.scale(), 65536.0F);
  EXPECT_EQ(scaler.inverse_scale(), 1.0F / 65536.0F);
  good_steps(scaler, 1999);
  EXPECT_EQ(scaler.scale(), 65536.0F);
  EXPECT_EQ(scaler.growth_count(), 1999);
  scaler.update(false);
  EXPECT_EQ(scaler.scale(), 131072.0F);
  EXPECT_EQ(scaler.growth_count(), 0);
  scaler.update(true);
  scaler.update(true);
  EXPECT_EQ(scaler.scale(), 32768.0F);
  EXPECT_EQ(scaler.skipped_steps(), 2);
}

TEST(LossScalerTest, BackoffCountsGoodStepsAnew) {
  LossScaler scaler({.initial_scale = 8, .growth_factor = 2, .backoff_factor = 0.5, .growth_interval = 3});
  good_steps(scaler, 2);
  scaler.update(true);  // 4, and the two good steps are forgotten
  EXPECT_EQ(scaler.scale(), 4.0F);
  EXPECT_EQ(scaler.growth_count(), 0);
  good_steps(scaler, 2);
  EXPECT_EQ(scaler.scale(), 4.0F);
  scaler.update(false);
  EXPECT_EQ(scaler.scale(), 8.0F);
  good_steps(scaler, 6);
  EXPECT_EQ(scaler.scale(), 32.0F);
  EXPECT_EQ(scaler.skipped_steps(), 1);
}

TEST(LossScalerTest, FactorsAreUsedAsGiven) {
  LossScaler scaler({.initial_scale = 10, .growth_factor = 3, .backoff_factor = 0.25, .growth_interval = 1});
  scaler.update(false);
  EXPECT_EQ(scaler.scale(), 30.0F);
  scaler.update(true);
  EXPECT_EQ(scaler.scale(), 7.5F);
  EXPECT_EQ(scaler.inverse_scale(), static_cast<float>(1.0 / 7.5));
}

TEST(LossScalerTest, ScaleAndInverseStayFinite) {
  LossScaler large({.initial_scale = 0x1p127F, .growth_interval = 1});
  good_steps(large, 2);
  EXPECT_EQ(large.scale(), 0x1p127F);
  EXPECT_EQ(large.growth_count(), 0);
  LossScaler small({.initial_scale = 0x1p-125F, .growth_interval = 1});
  for (int i = 0; i < 5; ++i) small.update(true);
  EXPECT_EQ(small.scale(), 0x1p-126F);
  EXPECT_EQ(small.inverse_scale(), 0x1p126F);
  EXPECT_EQ(small.skipped_steps(), 5);
}

TEST(LossScalerTest, StateBringsEverythingBack) {
  const LossScalerOptions options{.initial_scale = 3.3F, .growth_interval = 5};
  LossScaler scaler(options);
  scaler.update(true);
  good_steps(scaler, 4);
  LossScaler restored(options);
  const Json state = Json::parse(scaler.state().dump());
  ASSERT_TRUE(restored.restore(JsonReader(state, "")).ok());
  EXPECT_EQ(restored.scale(), scaler.scale());
  EXPECT_EQ(restored.growth_count(), 4);
  EXPECT_EQ(restored.skipped_steps(), 1);
  restored.update(false);
  EXPECT_EQ(restored.scale(), 2 * scaler.scale());
}

TEST(LossScalerTest, IncompleteStateChangesNothing) {
  LossScaler scaler;
  const auto refused = [&](const Json& state) {
    const Status status = scaler.restore(JsonReader(state, "state"));
    EXPECT_FALSE(status.ok());
    return status.message();
  };
  EXPECT_EQ(refused({{"scale", 2.0}, {"growth_count", 1}}),
            "state: skipped_steps must be a whole number of at least 0, got nothing");
  EXPECT_EQ(refused({{"scale", "2"}, {"growth_count", 1}, {"skipped_steps", 0}}),
            "state: scale must be a number, got \"2\"");
  EXPECT_EQ(refused({{"scale", 2.0}, {"growth_count", 2000}, {"skipped_steps", 0}}),
            "state: growth_count must be a whole number from 0 to 1999, got 2000");
  for (const double scale : {0.0, -2.0, 1e-40, 1e40})
    EXPECT_NE(refused({{"scale", scale}, {"growth_count", 1}, {"skipped_steps", 0}})
                  .find("state: scale must be a number that is normal in f32, above 0"),
              std::string::npos);
  EXPECT_EQ(scaler.scale(), 65536.0F);
}

}  // namespace
}  // namespace gradstab::lab
