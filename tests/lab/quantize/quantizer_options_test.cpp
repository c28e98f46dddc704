// The settings of fake_quantize and the arrays that go with it: what is refused, and in which words.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <vector>

#include "lab/quantize/fake_quantize.hpp"

namespace gradstab::lab {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

TEST(QuantizerOptionsTest, PresetsAreValid) {
  for (const QuantizerOptions& options :
       {QuantizerOptions(), QuantizerOptions::e1m2(), QuantizerOptions::e2m1(),
        QuantizerOptions::int4_weights(), QuantizerOptions::int4_activations(),
        QuantizerOptions::released_fp4()}) {
    EXPECT_EQ(options.validate().message(), "");
    EXPECT_EQ(options.group_size, 256);
  }
  EXPECT_EQ(QuantizerOptions::released_fp4().keep_largest, 2);
  EXPECT_EQ(QuantizerOptions::released_fp4().compat, Compat::released);
  EXPECT_EQ(QuantizerOptions::int4_activations().keep_largest, 2);
}

TEST(QuantizerOptionsTest, GroupCountRoundsUp) {
  const QuantizerOptions options{.group_size = 4};
  EXPECT_EQ(options.group_count(0), 0u);
  EXPECT_EQ(options.group_count(1), 1u);
  EXPECT_EQ(options.group_count(4), 1u);
  EXPECT_EQ(options.group_count(5), 2u);
}

TEST(QuantizerOptionsTest, MessagesNameTheValueAndWhatIsExpected) {
  using F = QuantizerFormat;
  const auto message = [](const QuantizerOptions& options) {
    const Status status = options.validate();
    EXPECT_EQ(status.code(), status.ok() ? StatusCode::ok : StatusCode::invalid_argument);
    return status.message();
  };
  EXPECT_EQ(message({.format = static_cast<F>(4)}), "format has no such choice, got value 4");
  EXPECT_EQ(message({.rounding = static_cast<QuantizerRounding>(2)}),
            "rounding has no such choice, got value 2");
  EXPECT_EQ(message({.compat = static_cast<Compat>(9)}), "compat has no such choice, got value 9");
  EXPECT_EQ(message({.group_size = 0}), "group_size must be at least 1, got 0");
  EXPECT_EQ(message({.group_size = -256}), "group_size must be at least 1, got -256");
  EXPECT_EQ(message({.keep_largest = -1}),
            "keep_largest must be between 0 and 8 and below group_size 256, got -1");
  EXPECT_EQ(message({.keep_largest = 9}),
            "keep_largest must be between 0 and 8 and below group_size 256, got 9");
  EXPECT_EQ(message({.group_size = 2, .keep_largest = 2}),
            "keep_largest must be between 0 and 8 and below group_size 2, got 2");
  EXPECT_EQ(message({.group_size = 3, .keep_largest = 2}), "");
  EXPECT_EQ(message({.fixed_scale = -1.0}), "fixed_scale must be finite and above 0, or 0 for none, got -1");
  EXPECT_EQ(message({.fixed_scale = kNaN}), "fixed_scale must be finite and above 0, or 0 for none, got nan");
  EXPECT_EQ(message({.format = F::int4_weight, .keep_largest = 2}),
            "keep_largest must be 0 for format int4_weight, got 2");
  EXPECT_EQ(message({.format = F::int4_weight, .fixed_scale = 2.0}),
            "fixed_scale must be 0 for format int4_weight, got 2");
  EXPECT_EQ(
      message({.format = F::fp4_e1m2, .compat = Compat::released}),
      "keep_largest must be at least 1 for format fp4_e1m2 under compat 'released', got 0, with which that "
      "code does not quantize at all");
  EXPECT_EQ(message({.format = F::fp4_e1m2,
                     .keep_largest = 2,
                     .rounding = QuantizerRounding::stochastic,
                     .compat = Compat::released}),
            "rounding must be nearest_even for format fp4_e1m2 under compat 'released', got stochastic");
}

class QuantizerArraysTest : public ::testing::Test {
 protected:
  Status quantize(const QuantizerOptions& options, const QuantizerArrays<float>& arrays) {
    return fake_quantize(std::span<const float>(values_), result_, options, arrays);
  }
  void expect_refused(const Status& status, StatusCode code, const std::string& message) {
    EXPECT_EQ(status.code(), code);
    EXPECT_EQ(status.message(), message);
    EXPECT_THAT(result_, ::testing::Each(42.0f));
  }
  std::vector<float> values_ = std::vector<float>(600, 1.0f);
  std::vector<float> result_ = std::vector<float>(600, 42.0f);
  std::vector<std::uint8_t> bytes_ = std::vector<std::uint8_t>(599);
};

TEST_F(QuantizerArraysTest, SizesThatDoNotFitAreRefused) {
  auto stochastic = QuantizerOptions::e2m1();
  stochastic.rounding = QuantizerRounding::stochastic;
  const std::span<const float> values(values_);
  expect_refused(fake_quantize(values, std::span(result_).first(599), {}), StatusCode::shape_mismatch,
                 "result holds 599 numbers, expected 600, one per value");
  expect_refused(quantize(stochastic, {.noise = values.first(1)}), StatusCode::shape_mismatch,
                 "noise holds 1 numbers, expected 600, one per value");
  expect_refused(quantize({}, {.codes = bytes_}), StatusCode::shape_mismatch,
                 "codes holds 599 numbers, expected 600, one per value");
  std::vector<float> scales(2);
  expect_refused(quantize({}, {.scales = scales}), StatusCode::shape_mismatch,
                 "scales holds 2 numbers, expected 3, one per group");
  expect_refused(quantize({}, {.zero_points = bytes_}), StatusCode::shape_mismatch,
                 "zero_points holds 599 numbers, expected 3, one per group");
  EXPECT_TRUE(quantize({}, {}).ok());
}

TEST_F(QuantizerArraysTest, WhatDoesNotGoTogetherIsRefused) {
  expect_refused(quantize({}, {.noise = values_}), StatusCode::invalid_argument,
                 "noise is for stochastic rounding, got rounding nearest_even");
  expect_refused(quantize(QuantizerOptions::released_fp4(), {}), StatusCode::shape_mismatch,
                 "got 600 values, expected under compat 'released' a multiple of group_size 256");
  expect_refused(quantize({.group_size = -1}, {}), StatusCode::invalid_argument,
                 "group_size must be at least 1, got -1");
  expect_refused(quantize({.fixed_scale = 1e-60}, {}), StatusCode::invalid_argument,
                 "fixed_scale must be a normal number of the values' type, got 1e-60");
  expect_refused(quantize({.fixed_scale = 1e60}, {}), StatusCode::invalid_argument,
                 "fixed_scale must be a normal number of the values' type, got 1e+60");
  auto released = QuantizerOptions::released_fp4();
  released.group_size = 100;
  EXPECT_TRUE(quantize(released, {}).ok());
}

TEST_F(QuantizerArraysTest, APartlyOverlappingResultIsRefused) {
  const std::span<float> all(result_);
  for (const std::size_t shift : {1, 299}) {
    expect_refused(fake_quantize(std::span<const float>(all.first(300)), all.subspan(shift, 300), {}),
                   StatusCode::shape_mismatch,
                   "result overlaps the values, expected the same place or another");
    expect_refused(fake_quantize(std::span<const float>(all.subspan(shift, 300)), all.first(300), {}),
                   StatusCode::shape_mismatch,
                   "result overlaps the values, expected the same place or another");
  }
  EXPECT_TRUE(fake_quantize(std::span<const float>(all.first(300)), all.last(300), {}).ok());
}

}  // namespace
}  // namespace gradstab::lab
