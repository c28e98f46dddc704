// Mixup, cutmix and random erasing, against torchvision.
#include "lab/vision/mix.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "golden/golden.hpp"
#include "lab/vision/erase.hpp"
#include "lab/vision/normalize.hpp"

namespace gradstab::lab::vision {
namespace {

constexpr Size kSize{6, 8};

/// The batch of make_golden.py: the right six columns of pictures of 6, 7, ... x 8.
Batch batch_of(int count) {
  Batch batch;
  batch.count = count;
  batch.channels = 3;
  batch.width = kSize.width;
  batch.height = kSize.height;
  const Normalizer normalizer({0, 0, 0}, {1, 1, 1});
  for (int i = 0; i < count; ++i) {
    const Picture picture = formula_picture(6 + i, 8, 3, 1);
    Picture right;
    right.reshape(kSize.width, kSize.height, 3);
    for (int y = 0; y < kSize.height; ++y)
      std::copy_n(picture.row(y) + 3 * i, right.row_bytes(), right.row(y));
    std::vector<float> values(right.pixels.size());
    normalizer.apply(right, values.data());
    batch.pixels.insert(batch.pixels.end(), values.begin(), values.end());
    batch.labels.push_back(i);
    batch.pictures.push_back(i);
  }
  return batch;
}

Mix mix_of(const Json& one) {
  if (one.at("kind") == "mixup") return {Mix::Kind::mixup, one.at("weight"), {}};
  return cutmix_around(one.at("x"), one.at("y"), one.at("weight"), kSize);
}

double worst_difference(const Batch& batch, const Json& values) {
  double worst = 0;
  for (std::size_t i = 0; i < values.size(); ++i)
    worst = std::max(worst, std::abs(batch.pixels[3 * i] - values[i].get<double>()));
  return worst;
}

TEST(MixTest, PixelsAndLabelsAreThoseOfTorchvision) {
  std::vector<float> memory;
  int cases = 0;
  for (const Json& one : golden("mixes")) {
    Batch batch = batch_of(one.at("count"));
    const Mix how = mix_of(one);
    mix(how, batch, memory);
    ++cases;
    // Three roundings of numbers below 1.
    EXPECT_LE(worst_difference(batch, one.at("values")), 3 * 0x1p-24) << one.at("kind");
    if (how.kind == Mix::Kind::cutmix) {
      const Json& box = one.at("box");
      EXPECT_EQ(how.box, (Rectangle{box[0], box[1], box[2].get<int>() - box[0].get<int>(),
                                    box[3].get<int>() - box[1].get<int>()}));
    }
    EXPECT_NEAR(batch.weight, one.at("label_weight").get<double>(), 1e-7);
    ASSERT_EQ(std::ssize(batch.partner_labels), batch.count);
    for (std::int64_t i = 0; i < batch.count; ++i) {
      const auto at = static_cast<std::size_t>(i);
      std::vector<double> target(5, 0);
      target[static_cast<std::size_t>(batch.labels[at])] += batch.weight;
      target[static_cast<std::size_t>(batch.partner_labels[at])] += 1 - batch.weight;
      for (std::size_t c = 0; c < target.size(); ++c)
        EXPECT_NEAR(target[c], one.at("targets")[at][c].get<double>(), 0x1p-22);
    }
  }
  EXPECT_EQ(cases, 12);
}

TEST(MixTest, AnotherWeightIsSeen) {
  std::vector<float> memory;
  for (const Json& one : golden("mixes")) {
    if (one.at("count") == 1 || one.at("kind") == "cutmix") continue;
    Batch batch = batch_of(one.at("count"));
    Mix how = mix_of(one);
    how.weight += 0.001;
    mix(how, batch, memory);
    EXPECT_GT(worst_difference(batch, one.at("values")), 1e-4);
  }
}

TEST(MixTest, PartnersFurtherBackAreThoseOfADoubledBatch) {
  // With partners two places back, pictures of even and of odd places mix among themselves.
  std::vector<float> memory;
  for (Mix how : {Mix{Mix::Kind::mixup, 0.37, {}}, cutmix_around(3, 3, 0.37, kSize)}) {
    const Batch all = batch_of(6);
    const std::size_t values = all.pixels.size() / 6;
    Batch mixed = all;
    how.back = 2;
    mix(how, mixed, memory);
    how.back = 1;
    for (std::size_t odd : {0U, 1U}) {
      Batch half = batch_of(0);
      half.count = 3;
      for (std::size_t i = odd; i < 6; i += 2) {
        half.labels.push_back(all.labels[i]);
        const auto at = all.pixels.begin() + static_cast<std::ptrdiff_t>(i * values);
        half.pixels.insert(half.pixels.end(), at, at + static_cast<std::ptrdiff_t>(values));
      }
      mix(how, half, memory);
      for (std::size_t k = 0; k < 3; ++k) {
        const std::size_t i = 2 * k + odd;
        EXPECT_EQ(mixed.partner_labels[i], half.partner_labels[k]);
        EXPECT_TRUE(std::equal(half.pixels.begin() + static_cast<std::ptrdiff_t>(k * values),
                               half.pixels.begin() + static_cast<std::ptrdiff_t>((k + 1) * values),
                               mixed.pixels.begin() + static_cast<std::ptrdiff_t>(i * values)));
      }
    }
  }
  AugmentationOptions repeated;
  repeated.mixup_alpha = 0.2;
  repeated.repeats = 3;
  Draws draws(nn::CounterKey{1, 2});
  EXPECT_EQ(draw_mix(draws, repeated, kSize).back, 3U) << "no copy of a picture is its partner";
}

TEST(MixTest, ASinglePictureIsItsOwnPartner) {
  std::vector<float> memory;
  for (const Mix& how : {Mix{Mix::Kind::mixup, 0.37, {}}, cutmix_around(3, 3, 0.37, kSize)}) {
    Batch batch = batch_of(1);
    const Batch before = batch;
    mix(how, batch, memory);
    EXPECT_EQ(batch.partner_labels, batch.labels);
    for (std::size_t i = 0; i < batch.pixels.size(); ++i)
      EXPECT_NEAR(batch.pixels[i], before.pixels[i], 3 * 0x1p-24);
  }
  Batch empty = batch_of(0);
  mix({Mix::Kind::mixup, 0.37, {}}, empty, memory);
  EXPECT_TRUE(empty.partner_labels.empty());
}

TEST(MixTest, WithoutMixingABatchStaysAsItIs) {
  std::vector<float> memory;
  Batch batch = batch_of(3);
  const std::vector<float> before = batch.pixels;
  Draws draws(nn::Draw{1, 2}.key(3));
  mix(draw_mix(draws, {}, kSize), batch, memory);
  EXPECT_EQ(batch.pixels, before);
  EXPECT_TRUE(batch.partner_labels.empty());
  EXPECT_EQ(batch.weight, 1);
}

TEST(MixTest, WeightsHaveTheMomentsOfTheBetaDistribution) {
  constexpr int kDraws = 20000;
  for (const double alpha : {0.2, 1.0, 4.0}) {
    Draws draws(nn::Draw{5, 6}.key(7));
    double sum = 0, squares = 0;
    for (int i = 0; i < kDraws; ++i) {
      const double value = draw_beta(draws, alpha);
      ASSERT_GE(value, 0);
      ASSERT_LE(value, 1);
      sum += value;
      squares += (value - 0.5) * (value - 0.5);
    }
    const double variance = 1 / (4 * (2 * alpha + 1));
    // Five deviations of a mean; the squares of values in [0, 1] deviate by 1/8 at most.
    EXPECT_NEAR(sum / kDraws, 0.5, 5 * std::sqrt(variance / kDraws)) << alpha;
    EXPECT_NEAR(squares / kDraws, variance, 5 * 0.125 / std::sqrt(kDraws)) << alpha;
  }
}

TEST(MixTest, WeightsOfATinyParameterAreFinite) {
  Draws draws(nn::Draw{5, 6}.key(7));
  for (int i = 0; i < 1000; ++i) {
    const double value = draw_beta(draws, 1e-4);
    ASSERT_TRUE(value >= 0 && value <= 1);
  }
}

TEST(MixTest, ACoinChoosesBetweenTheTwo) {
  AugmentationOptions options;
  options.mixup_alpha = 0.2;
  options.cutmix_alpha = 1;
  int cutmixes = 0;
  for (std::uint64_t i = 0; i < 1000; ++i) {
    Draws draws(nn::Draw{5, i}.key(7));
    const Mix how = draw_mix(draws, options, kSize);
    EXPECT_NE(how.kind, Mix::Kind::none);
    cutmixes += how.kind == Mix::Kind::cutmix ? 1 : 0;
  }
  EXPECT_NEAR(cutmixes, 500, 5 * std::sqrt(250.0));
}

TEST(EraseTest, IsThatOfTorchvisionOnTheSameNumbers) {
  int found = 0;
  for (const Json& one : golden("erasures")) {
    const Size size{one.at("size")[0], one.at("size")[1]};
    Draws draws(nn::Draw{one.at("seed").get<std::uint64_t>(), 1}.key(2));
    const auto rectangle = draw_erasure(draws, size);
    ASSERT_EQ(rectangle.has_value(), !one.at("box").is_null());
    if (!rectangle) continue;
    ++found;
    const Json& box = one.at("box");
    EXPECT_EQ(*rectangle, (Rectangle{box[0], box[1], box[2], box[3]}));
    const auto plane = static_cast<std::size_t>(size.width * size.height);
    std::vector<float> pixels(3 * plane, 1);
    erase(*rectangle, 3, size, pixels.data());
    for (int y = 0; y < size.height; ++y) {
      float sum = 0;
      for (int x = 0; x < size.width; ++x)
        sum += pixels[plane + static_cast<std::size_t>(y * size.width + x)];
      EXPECT_EQ(sum, one.at("rows")[static_cast<std::size_t>(y)].get<float>());
    }
  }
  EXPECT_GE(found, 15);
}

TEST(EraseTest, APictureOfOnePixelIsNeverErased) {
  Draws draws(nn::Draw{5, 6}.key(7));
  for (int i = 0; i < 100; ++i) EXPECT_FALSE(draw_erasure(draws, {1, 1}).has_value());
}

}  // namespace
}  // namespace gradstab::lab::vision
