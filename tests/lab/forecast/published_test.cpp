#include "lab/forecast/published.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <utility>
#include <vector>

#include "tests/lab/forecast/published_config.hpp"

namespace gradstab::lab::forecast {
namespace {

// The eight counts are those of the published model, built by its authors' code with the settings that its
// scripts give. By hand, weather's at horizon 96: 16 * 128 + 128 of the embedding, 42 * 128 positions, 3
// layers of 4 (128 * 128 + 128) + (128 * 256 + 256) + (256 * 128 + 128) + 4 * 128, and 42 * 128 * 96 + 96 of
// the head are 2,176 + 5,376 + 3 * 132,480 + 516,192 = 921,184.
TEST(PublishedTest, ParameterCounts) {
  const std::vector<std::pair<const char*, std::vector<std::int64_t>>> table = {
      {"weather", {921184, 1437376, 2211664, 4276432}}, {"ETTh1", {81728, 146336, 243248, 501680}}};
  for (const auto& [name, counts] : table) {
    std::size_t i = 0;
    for (const std::int64_t horizon : {96, 192, 336, 720})
      EXPECT_EQ(config_of(*published_settings(name), horizon).parameter_count(), counts[i++])
          << name << horizon;
  }
}

TEST(PublishedTest, NamesInAnyCase) {
  EXPECT_EQ(published_settings("Weather")->series, "weather");
  EXPECT_EQ(published_settings("etth2")->dropout, 0.3);
  EXPECT_EQ(published_settings("traffic"), nullptr);
  EXPECT_EQ(published_settings(""), nullptr);
}

TEST(PatchTstConfigTest, WhatCannotBeBuiltIsNamed) {
  EXPECT_TRUE(PatchTstConfig{}.validate().ok());
  const auto message = [](auto change) {
    PatchTstConfig config;
    change(config);
    const Status status = config.validate();
    EXPECT_EQ(status.code(), StatusCode::invalid_argument);
    return status.message();
  };
  EXPECT_EQ(message([](auto& c) { c.horizon = 0; }), "horizon must be at least 1, got 0");
  EXPECT_EQ(message([](auto& c) { c.patch_length = 400; }),
            "patch_length must be at most look_back = 336, got 400");
  EXPECT_EQ(message([](auto& c) { c.heads = 12; }), "width must be a multiple of heads = 12, got 128");
  EXPECT_EQ(message([](auto& c) { c.dropout = 1; }), "dropout must be in [0, 1), got 1");
  EXPECT_EQ(message([](auto& c) { c.revin_affine = true; }),
            "channels must be at least 1 with revin_affine, got 0");
}

TEST(PatchTstConfigTest, Patches) {
  PatchTstConfig config;
  EXPECT_EQ(config.patches(), 42);
  config.look_back = 512;
  EXPECT_EQ(config.patches(), 64);
  config.look_back = 16;
  EXPECT_EQ(config.patches(), 2);
}

}  // namespace
}  // namespace gradstab::lab::forecast
