// Resizes, crops, flips, and what RandAugment and TrivialAugment do, against Pillow and torchvision.
//
// All of it is arithmetic that ends in whole numbers and is done here as there, so nothing may differ.
#include <gtest/gtest.h>

#include <array>
#include <string>

#include "golden/golden.hpp"
#include "lab/vision/colour.hpp"
#include "lab/vision/crops.hpp"
#include "lab/vision/geometry.hpp"
#include "lab/vision/normalize.hpp"
#include "lab/vision/policy.hpp"
#include "lab/vision/resize.hpp"

namespace gradstab::lab::vision {
namespace {

constexpr std::array kOperationNames = {"Identity",  "ShearX",     "ShearY",       "TranslateX", "TranslateY",
                                        "Rotate",    "Brightness", "Color",        "Contrast",   "Sharpness",
                                        "Posterize", "Solarize",   "AutoContrast", "Equalize"};
static_assert(kOperationNames.size() == kOperationCount);

Operation operation_named(const std::string& name) {
  for (int i = 0; i < kOperationCount; ++i)
    if (name == kOperationNames[static_cast<std::size_t>(i)]) return static_cast<Operation>(i);
  ADD_FAILURE() << name;
  return Operation::identity;
}

Picture applied(const Step& step, Picture picture) {
  Picture scratch;
  apply(step, picture, scratch);
  return picture;
}

TEST(OperationsTest, AreThoseOfPillow) {
  int cases = 0;
  for (const Json& one : golden("operations")) {
    const Picture source = source_of(one);
    const Step step{operation_named(one.at("operation")), one.at("magnitude")};
    const Picture made = applied(step, source), expected = result_of(one, source.channels);
    EXPECT_EQ(difference(made, expected), 0) << one.at("operation") << " by " << step.magnitude;
    ++cases;
  }
  EXPECT_EQ(cases, 47);
}

TEST(OperationsTest, AnotherMagnitudeIsSeen) {
  for (const Json& one : golden("operations")) {
    const Operation operation = operation_named(one.at("operation"));
    const Picture source = source_of(one);
    if (!is_signed(operation) || (operation == Operation::color && source.channels == 1)) continue;
    const double magnitude = one.at("magnitude");
    // A hundredth of the strongest, or a pixel.
    const double other = operation == Operation::translate_x || operation == Operation::translate_y
                             ? magnitude + 1
                             : magnitude + (operation == Operation::rotate ? 1.35 : 0.0099);
    if (magnitude == 40) continue;  // moved out, in any case
    EXPECT_GT(difference(applied({operation, other}, source), result_of(one, source.channels)), 0)
        << one.at("operation") << " by " << magnitude;
  }
}

TEST(OperationsTest, ScratchMemoryOfAnotherSizeDoesNotMatter) {
  Picture scratch = formula_picture(40, 2, 1);
  for (const Json& one : golden("operations")) {
    Picture made = source_of(one);
    const Picture expected = result_of(one, made.channels);
    apply({operation_named(one.at("operation")), one.at("magnitude")}, made, scratch);
    ASSERT_EQ(difference(made, expected), 0) << one.at("operation");
  }
}

TEST(OperationsTest, DegeneratePicturesStayWhole) {
  for (const Size size : {Size{1, 1}, Size{1, 7}, Size{2, 2}, Size{5, 1}})
    for (const int channels : {1, 3})
      for (int operation = 0; operation < kOperationCount; ++operation)
        for (int strength = 0; strength < kStrengths; ++strength) {
          const auto which = static_cast<Operation>(operation);
          const Picture source = formula_picture(size.width, size.height, channels);
          const Picture made = applied({which, magnitude(trivial_augment_space(), which, strength)}, source);
          ASSERT_EQ(made.size(), size);
          ASSERT_EQ(made.pixels.size(), source.pixels.size());
        }
}

TEST(PolicyTest, MagnitudesAreThoseOfTorchvision) {
  const Json& spaces = golden("spaces");
  const Json& size = spaces.at("random").at("size");
  for (int i = 0; i < kOperationCount; ++i) {
    const auto operation = static_cast<Operation>(i);
    const std::string name = kOperationNames[static_cast<std::size_t>(i)];
    EXPECT_EQ(is_signed(operation), spaces.at("signed").at(name).get<bool>()) << name;
    for (int strength = 0; strength < kStrengths; ++strength) {
      const auto at = static_cast<std::size_t>(strength);
      // In f32 as there, so equal but for the last bit, which vector code may round another way.
      const double random = spaces.at("random").at(name).at(at),
                   trivial = spaces.at("trivial").at(name).at(at);
      EXPECT_NEAR(magnitude(random_augment_space({size[0], size[1]}), operation, strength), random,
                  random * 0x1p-23)
          << name << " " << strength;
      EXPECT_NEAR(magnitude(trivial_augment_space(), operation, strength), trivial, trivial * 0x1p-23)
          << name << " " << strength;
    }
  }
}

TEST(PolicyTest, EveryOperationStrengthAndSignIsDrawn) {
  std::array<int, kOperationCount> random{}, trivial{};
  int negative = 0, with_sign = 0;
  constexpr int kDraws = 14000;
  Draws draws(nn::Draw{3, 1}.key(4));
  for (int i = 0; i < kDraws; ++i) {
    ++random[static_cast<std::size_t>(draw_random_augment(draws, 9, {32, 32}).operation)];
    const Step step = draw_trivial_augment(draws);
    ++trivial[static_cast<std::size_t>(step.operation)];
    if (!is_signed(step.operation) || step.magnitude == 0) continue;
    ++with_sign;
    negative += step.magnitude < 0 ? 1 : 0;
  }
  // A thousand each, within five deviations.
  const double bound = 5 * std::sqrt(1000.0 * 13 / 14);
  for (int i = 0; i < kOperationCount; ++i) {
    EXPECT_NEAR(random[static_cast<std::size_t>(i)], 1000, bound)
        << kOperationNames[static_cast<std::size_t>(i)];
    EXPECT_NEAR(trivial[static_cast<std::size_t>(i)], 1000, bound)
        << kOperationNames[static_cast<std::size_t>(i)];
  }
  EXPECT_NEAR(negative, with_sign / 2.0, 5 * std::sqrt(with_sign / 4.0));
}

TEST(ResizeTest, IsThatOfPillow) {
  ResizeBuffers buffers;
  for (const Json& one : golden("resizes")) {
    const Picture source = source_of(one);
    const Size target{one.at("size")[0], one.at("size")[1]};
    const Picture expected = result_of(one, source.channels);
    Picture made;
    resize(source, whole(source.size()), source.size(), target, whole(target), buffers, made);
    EXPECT_LE(difference(made, expected), one.at("most_difference").get<int>()) << one.at("source");
    // One row less of the source is another picture.
    if (source.height < 3) continue;
    resize(source, whole(source.size()), {source.width, source.height - 1}, target, whole(target), buffers,
           made);
    EXPECT_GT(difference(made, expected), 1) << one.at("source");
  }
}

TEST(ResizeTest, AWindowIsMadeFromItsSupportAlone) {
  ResizeBuffers buffers;
  const Picture source = formula_picture(61, 47, 3, 1);
  for (const Size target : {Size{20, 30}, Size{100, 90}, Size{61, 47}}) {
    Picture all, part, needed, expected;
    resize(source, whole(source.size()), source.size(), target, whole(target), buffers, all);
    for (const Rectangle& window : {Rectangle{0, 0, 5, 6}, Rectangle{7, 9, 8, 4},
                                    Rectangle{target.width - 3, target.height - 2, 3, 2}}) {
      const Rectangle region = resize_support(source.size(), target, window);
      cut(source, region.left, region.top, {region.width, region.height}, needed);
      resize(needed, region, source.size(), target, window, buffers, part);
      cut(all, window.left, window.top, {window.width, window.height}, expected);
      EXPECT_EQ(difference(part, expected), 0);
    }
  }
}

TEST(ResizeTest, ResizedCropsAreThoseOfTorchvision) {
  ResizeBuffers buffers;
  for (const Json& one : golden("resized_crops")) {
    const Json& crop = one.at("crop");
    const Size size{crop[2], crop[3]};
    Picture part, made;
    cut(source_of(one), crop[0], crop[1], size, part);
    resize(part, whole(size), size, {12, 12}, {0, 0, 12, 12}, buffers, made);
    EXPECT_EQ(difference(made, result_of(one, 3)), 0) << crop;
  }
}

TEST(CropTest, FlipsAndPaddedCropsAreThoseOfTorchvision) {
  for (const Json& one : golden("flips_and_cuts")) {
    Picture made = source_of(one);
    if (one.at("what") == "flip") {
      EXPECT_GT(difference(made, result_of(one, 3)), 0);
      flip(made);
    } else {
      const Picture source = made;
      cut(source, one.at("left"), one.at("top"), source.size(), made);
    }
    EXPECT_EQ(difference(made, result_of(one, 3)), 0) << one.at("what");
  }
}

TEST(CropTest, TheRandomResizedCropIsThatOfTorchvisionOnTheSameNumbers) {
  AugmentationOptions options;
  std::uint64_t seed = 0;
  for (const Json& one : golden("crop_choices")) {
    const auto expected = Rectangle{one.at("box")[0], one.at("box")[1], one.at("box")[2], one.at("box")[3]};
    const Size size{one.at("size")[0], one.at("size")[1]};
    Draws draws(nn::Draw{one.at("seed").get<std::uint64_t>(), 1}.key(2));
    const Rectangle drawn = draw_resized_crop(draws, options, size);
    EXPECT_EQ(drawn, expected) << one;
    if (size.width < 500) continue;
    Draws others(nn::Draw{seed + 1000, 1}.key(2));
    EXPECT_NE(draw_resized_crop(others, options, size), expected);
  }
}

/// Evaluation as the loader does it.
Picture evaluated(const AugmentationOptions& options, const Picture& source) {
  const EvaluationView view = evaluation_view(options, source.size());
  const Rectangle region = resize_support(source.size(), view.resized, view.window);
  Picture needed, made;
  ResizeBuffers buffers;
  cut(source, region.left, region.top, {region.width, region.height}, needed);
  resize(needed, region, source.size(), view.resized, view.window, buffers, made);
  return made;
}

TEST(EvaluationTest, PixelsAndNumbersAreThoseOfTorchvision) {
  for (const Json& one : golden("evaluations")) {
    const Picture source = source_of(one);
    AugmentationOptions options;
    options.size = one.at("width");
    options.evaluation_resize = one.at("resize");
    const Picture made = evaluated(options, source);
    EXPECT_EQ(difference(made, result_of(one, source.channels)), 0) << one.at("source");
    if (options.evaluation_resize > options.size + 1) {
      --options.evaluation_resize;
      EXPECT_GT(difference(evaluated(options, source), result_of(one, source.channels)), 0);
    }
    const Normalizer normalizer(one.at("mean"), one.at("deviation"));
    std::vector<float> values(made.pixels.size());
    normalizer.apply(made, values.data());
    const Json& expected = one.at("values");
    for (std::size_t i = 0; i < expected.size(); ++i)
      // Two roundings of f32 more or less, of numbers below 3.
      EXPECT_NEAR(values[5 * i], expected[i].get<float>(), 4 * 0x1p-23) << i;
    EXPECT_EQ(expected.size(), (values.size() + 4) / 5);
  }
}

}  // namespace
}  // namespace gradstab::lab::vision
