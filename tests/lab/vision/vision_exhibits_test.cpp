// The exhibits of a vision run hold what was counted.
#include "lab/vision/vision_exhibits.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <png.h>

#include <cmath>
#include <numeric>
#include <string>

#include "gradstab/status.hpp"
#include "lab/page/exhibits.hpp"
#include "lab/support/base64.hpp"
#include "lab/vision/encode_png.hpp"

namespace gradstab::lab::vision {
namespace {

using Json = nlohmann::ordered_json;
using ::testing::HasSubstr;

/// Pictures of class `labels[i]` that were taken for `predictions[i]`, each surer than the one before.
Scores scores_of(std::int64_t classes, const std::vector<std::int64_t>& labels,
                 const std::vector<std::int64_t>& predictions) {
  Scores scores(classes);
  for (std::size_t i = 0; i < labels.size(); ++i) {
    torch::Tensor logits = torch::zeros({1, classes});
    logits[0][predictions[i]] = 1.0 + 0.1 * static_cast<double>(i);
    scores.add(logits, torch::tensor({labels[i]}, torch::kLong));
  }
  return scores;
}

std::vector<std::string> names(std::int64_t count) {
  std::vector<std::string> classes;
  for (std::int64_t i = 0; i < count; ++i) classes.push_back(fmt::format("c{}", i));
  return classes;
}

Picture gradient(int width, int height, int channels) {
  Picture picture;
  picture.reshape(width, height, channels);
  for (std::size_t i = 0; i < picture.pixels.size(); ++i)
    picture.pixels[i] = static_cast<std::uint8_t>(i * 37 % 251);
  return picture;
}

/// Read by libpng, of which encode_png uses the other half.
Picture decoded(const std::vector<std::byte>& file, int channels) {
  png_image image = {};
  image.version = PNG_IMAGE_VERSION;
  EXPECT_NE(png_image_begin_read_from_memory(&image, file.data(), file.size()), 0);
  EXPECT_EQ(image.format & PNG_FORMAT_FLAG_COLOR, channels == 3 ? PNG_FORMAT_FLAG_COLOR : 0u);
  image.format = channels == 1 ? PNG_FORMAT_GRAY : PNG_FORMAT_RGB;
  Picture picture;
  picture.reshape(static_cast<int>(image.width), static_cast<int>(image.height), channels);
  EXPECT_NE(png_image_finish_read(&image, nullptr, picture.pixels.data(), 0, nullptr), 0);
  return picture;
}

TEST(EncodePngTest, KeepsEveryPixel) {
  for (const int channels : {1, 3}) {
    const Picture picture = gradient(13, 7, channels);
    const Picture back = decoded(encode_png(picture), channels);
    EXPECT_EQ(back.size(), picture.size());
    EXPECT_EQ(back.pixels, picture.pixels);
  }
  EXPECT_THROW(encode_png(Picture()), Error);
  EXPECT_THROW(encode_png(gradient(2, 2, 2)), Error);
}

TEST(EncodePngTest, LargePicturesAreShrunkToMeans) {
  Picture picture;
  picture.reshape(5, 4, 3);
  for (int y = 0; y < 4; ++y)
    for (int x = 0; x < 5; ++x)
      for (int channel = 0; channel < 3; ++channel)
        picture.row(y)[x * 3 + channel] = static_cast<std::uint8_t>(10 * x + y + 100 * (channel == 1));
  const Picture small = shrunk(picture, 3);
  EXPECT_EQ(small.size(), (Size{2, 2}));
  // Of x = 0, 1 and y = 0, 1: 5.5, rounded to 6; of x = 2, 3 and y = 2, 3: 27.5.
  EXPECT_EQ(small.row(0)[0], 6);
  EXPECT_EQ(small.row(0)[1], 106);
  EXPECT_EQ(small.row(1)[3], 28);
  EXPECT_EQ(shrunk(picture, 5).pixels, picture.pixels);
  EXPECT_EQ(shrunk(gradient(300, 1, 1), 96).size(), (Size{75, 1}));
}

TEST(ConfusionTest, HasARowForEachClassAndAColumnForEachPrediction) {
  const Json table = confusion_exhibit(scores_of(3, {0, 0, 1, 2, 2, 2}, {0, 1, 1, 2, 2, 0}), names(3));
  EXPECT_EQ(table.at("kind"), "table");
  EXPECT_EQ(table.at("columns"), (Json{"pictures of", "c0", "c1", "c2"}));
  EXPECT_EQ(table.at("rows").dump(), R"([["c0",1,1,0],["c1",0,1,0],["c2",1,0,2]])");
}

TEST(ConfusionTest, OfManyClassesHasTheMostFrequentMistakes) {
  const Json table =
      confusion_exhibit(scores_of(30, {7, 7, 7, 8, 8, 9, 9}, {7, 9, 9, 9, 1, 1, 1}), names(30));
  EXPECT_EQ(table.at("rows").dump(), R"([["c7","c9",2],["c9","c1",2],["c8","c1",1],["c8","c9",1]])");
}

TEST(SheetTest, WrongPicturesComeFirstTheSurestBeforeOthers) {
  const Scores scores = scores_of(3, {0, 1, 2, 0, 1}, {0, 2, 2, 1, 1});
  EXPECT_EQ(worth_showing(scores), (std::vector<std::size_t>{3, 1, 0, 2, 4}));
  // At most 24 wrong ones and 12 right ones.
  const Scores many = scores_of(2, std::vector<std::int64_t>(50, 0), std::vector<std::int64_t>(50, 1));
  EXPECT_EQ(worth_showing(many).size(), 24u);
  EXPECT_EQ(worth_showing(many).front(), 49u);
}

TEST(SheetTest, HasPicturesAndWhatTheyWereTakenFor) {
  const Scores scores = scores_of(3, {0, 1}, {2, 1});
  const Picture first = gradient(4, 4, 1), second = gradient(200, 100, 3);
  const Json sheet = sheet_exhibit(scores, names(3), {{0, first}, {1, second}});
  ASSERT_EQ(sheet.at("pictures").size(), 2u);
  const Json& wrong = sheet.at("pictures").at(0);
  // exp(1) of exp(1) + 2: 58 %.
  EXPECT_EQ(wrong.at("text"), "c2, not c0 (58\u00a0%)");
  EXPECT_EQ(wrong.at("alt"), "A picture of: c0");
  EXPECT_EQ(wrong.at("good"), false);
  EXPECT_EQ(decoded(*from_base64(wrong.at("png").get<std::string>()), 1).pixels, first.pixels);
  EXPECT_EQ(sheet.at("pictures").at(1).at("text"), "c1");
  EXPECT_EQ(decoded(*from_base64(sheet.at("pictures").at(1).at("png").get<std::string>()), 3).size(),
            (Size{66, 33}));
  EXPECT_THAT(exhibit_html(nlohmann::json::parse(sheet.dump())), HasSubstr("c2, not c0 (58\u00a0%)"));
}

}  // namespace
}  // namespace gradstab::lab::vision
