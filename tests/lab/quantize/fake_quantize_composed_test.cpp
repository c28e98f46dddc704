// The composition for devices gives what the library's loops give, bit for bit.
#include "lab/quantize/fake_quantize_composed.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "lab/quantize/quantized_projections.hpp"

namespace gradstab::lab {
namespace {

using torch::Tensor;

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();
constexpr float kLargest = std::numeric_limits<float>::max();
constexpr float kSmallest = std::numeric_limits<float>::denorm_min();

struct Format {
  std::string name;
  QuantizerOptions options;
};

std::vector<Format> formats() {
  std::vector<Format> all = {{"e1m2", QuantizerOptions::e1m2()},
                             {"e2m1", QuantizerOptions::e2m1()},
                             {"int4 weights", QuantizerOptions::int4_weights()},
                             {"int4 activations", QuantizerOptions::int4_activations()},
                             {"e1m2 that keeps", QuantizerOptions::e1m2()},
                             {"e2m1 of a fixed scale", QuantizerOptions::e2m1()}};
  all[4].options.keep_largest = 3;
  all[5].options.fixed_scale = 0.3;
  for (const Format& format : std::vector<Format>(all.begin(), all.begin() + 4)) {
    all.push_back({format.name + " as released", format.options});
    all.back().options.compat = Compat::released;
    if (format.name == "e1m2") all.back().options.keep_largest = 2;
  }
  return all;
}

Tensor random_tensor(std::vector<std::int64_t> sizes, std::uint64_t seed) {
  return torch::randn(sizes, torch::make_generator<torch::CPUGeneratorImpl>(seed), torch::kFloat);
}

/// Equal as patterns of bits: the sign of zero counts, and NaN equals itself.
bool same_bits(const Tensor& a, const Tensor& b) {
  return torch::equal(a.contiguous().view(torch::kInt), b.contiguous().view(torch::kInt));
}

/// Groups that are hard in one way each: zeros of both signs, ties, far apart, near both ends of the range,
/// not finite; then random ones of many magnitudes.
Tensor groups_of(std::int64_t size, std::uint64_t seed) {
  const auto filled = [&](const std::vector<float>& pattern) {
    std::vector<float> values;
    for (std::int64_t i = 0; i < size; ++i)
      values.push_back(pattern[static_cast<std::size_t>(i) % pattern.size()]);
    return torch::tensor(values);
  };
  std::vector<Tensor> groups = {
      filled({0.0F}),
      filled({-0.0F}),
      filled({0.0F, -0.0F}),
      // Half-way between levels of every format, for scales that are powers of two.
      filled({1.75F, 0.125F, -0.375F, 0.625F, -0.875F, 1.125F, -1.375F, 1.625F, -0.125F}),
      filled({6.0F, 0.25F, -0.75F, 1.25F, -1.75F, 2.5F, -3.5F, 5.0F, -5.0F}),
      filled({7.0F, 0.5F, -1.5F, 2.5F, -3.5F, 4.5F, -5.5F, 6.5F}),
      filled({-7.5F, 7.5F, 0.5F, 1.5F, -0.5F, -2.5F}),
      filled({1.0F, 1.0F, -1.0F, 1.0F}),
      filled({3.0F, 2.0F, 4.0F}),
      filled({-3.0F, -2.0F, -4.0F}),
      filled({kLargest, 1.0F, -0.5F * kLargest, 0.3F * kLargest, -1e-30F}),
      filled({kLargest, -kLargest, 0.6F * kLargest}),
      filled({kSmallest, -kSmallest, 0.0F}),
      filled({1e-40F, -3e-41F, 7e-42F, 2e-38F}),
      filled({1.2e-38F, -1.1e-38F, 5e-39F}),
      filled({1e-6F, -4e-7F, 9e-7F}),
      filled({1.0F, kNaN, 2.0F}),
      filled({1.0F, kInf, 2.0F}),
      filled({1.0F, -kInf, 2.0F}),
      filled({kInf, -kInf, kNaN}),
  };
  for (int power = -140; power <= 120; power += 20)
    groups.push_back(random_tensor({size}, seed + static_cast<std::uint64_t>(power + 200)) *
                     static_cast<float>(std::ldexp(1.0, power)));
  // One outlier, and a group of one sign.
  groups.push_back(random_tensor({size}, seed));
  groups.back()[size / 2] = 1000.0F;
  groups.push_back(random_tensor({size}, seed + 1).abs() + 0.5F);
  return torch::stack(groups);
}

Tensor by_library(const Tensor& x, const QuantizerOptions& options) {
  const Tensor y = torch::empty_like(x);
  const auto size = static_cast<std::size_t>(x.numel());
  fake_quantize(std::span<const float>(x.data_ptr<float>(), size), {y.data_ptr<float>(), size}, options)
      .check();
  return y;
}

TEST(FakeQuantizeComposedTest, EqualsTheLibraryBitForBit) {
  for (const std::int64_t group : {4, 16, 256}) {
    for (Format format : formats()) {
      format.options.group_size = group;
      ASSERT_TRUE(format.options.validate().ok())
          << format.name << ": " << format.options.validate().message();
      const Tensor x = groups_of(group, 7);
      const Tensor ours = composed::fake_quantize(x, format.options, /*by_row=*/false);
      const Tensor expected = by_library(x, format.options);
      for (std::int64_t i = 0; i < x.size(0); ++i)
        EXPECT_TRUE(same_bits(ours[i], expected[i]))
            << format.name << ", groups of " << group << ", group " << i;
    }
  }
}

TEST(FakeQuantizeComposedTest, ComparisonSeesTheSignOfZeroAndTheLastBit) {
  const Tensor x = torch::tensor({0.0F, 1.0F});
  EXPECT_FALSE(same_bits(x, torch::tensor({-0.0F, 1.0F})));
  EXPECT_FALSE(same_bits(x, torch::tensor({0.0F, std::nextafter(1.0F, 2.0F)})));
  // The inverse of a divisor, multiplied by, gives other scales than division does.
  const Tensor magnitudes = random_tensor({1000}, 3);
  EXPECT_FALSE(same_bits(magnitudes / torch::full_like(magnitudes, 1.75), magnitudes * (1.0F / 1.75F)));
  // A format is not another one.
  const Tensor values = groups_of(256, 7);
  EXPECT_FALSE(same_bits(composed::fake_quantize(values, QuantizerOptions::e1m2(), false),
                         by_library(values, QuantizerOptions::e2m1())));
}

TEST(FakeQuantizeComposedTest, GroupsThatEndEarlyAreTheLibrarys) {
  const Tensor x = random_tensor({7, 301}, 5);
  for (Format format : formats()) {
    format.options.group_size = 64;
    if (format.options.compat == Compat::released && format.options.format != QuantizerFormat::fp4_e2m1) {
      EXPECT_THROW(composed::fake_quantize(x, format.options, false), Error) << format.name;
      EXPECT_THROW(composed::fake_quantize(x, format.options, true), Error) << format.name;
      continue;
    }
    for (const bool by_row : {false, true}) {
      const Tensor ours = composed::fake_quantize(x, format.options, by_row);
      const Tensor expected =
          by_row ? fake_quantized_rows(x, format.options, 0) : fake_quantized(x, format.options, 0);
      EXPECT_TRUE(same_bits(ours, expected)) << format.name << (by_row ? ", rows" : ", flat");
    }
  }
  // A group that is shorter than what it keeps.
  QuantizerOptions keeping = QuantizerOptions::int4_activations();
  keeping.group_size = 300;
  EXPECT_TRUE(same_bits(composed::fake_quantize(x, keeping, true), fake_quantized_rows(x, keeping, 0)));
}

TEST(FakeQuantizeComposedTest, AmongEqualsTheFirstAreKept) {
  QuantizerOptions options = QuantizerOptions::int4_activations();
  options.group_size = 8;
  // Largest magnitudes 0.9 four times; whatever is not kept is rounded to a multiple of 0.9 / 7.
  const Tensor x = torch::tensor({0.5F, 0.9F, -0.9F, 0.1F, 0.9F, -0.2F, -0.9F, 0.3F});
  EXPECT_TRUE(same_bits(composed::fake_quantize(x, options, false), by_library(x, options)));
}

TEST(FakeQuantizeComposedTest, RefusesWhatItCannotDo) {
  QuantizerOptions stochastic = QuantizerOptions::e2m1();
  stochastic.rounding = QuantizerRounding::stochastic;
  try {
    composed::fake_quantize(torch::ones({4}), stochastic, false);
    FAIL() << "stochastic rounding was not refused";
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(), "stochastic rounding is done on the CPU only, expected rounding nearest_even");
  }
  EXPECT_THROW(composed::fake_quantize(torch::ones({4}, torch::kDouble), QuantizerOptions::e2m1(), false),
               c10::Error);
  EXPECT_EQ(composed::fake_quantize(torch::empty({0, 5}), QuantizerOptions::e2m1(), true).numel(), 0);
}

}  // namespace
}  // namespace gradstab::lab
