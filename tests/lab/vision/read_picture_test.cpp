// JPEG and PNG files of every kind, whole, in part, broken.
#include "lab/vision/read_picture.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "golden/golden.hpp"
#include "lab/vision/draws.hpp"
#include "lab/vision/geometry.hpp"
#include "picture_files.hpp"

namespace gradstab::lab::vision {
namespace {

using ::testing::HasSubstr;

Result<Picture> read(std::string_view bytes, const RegionChooser& choose = whole) {
  ReadBuffers buffers;
  Picture picture;
  const Status status = read_picture(bytes, choose, buffers, picture);
  if (!status.ok()) return status;
  return picture;
}

std::string refused(std::string_view bytes) {
  const auto picture = read(bytes);
  if (picture) return "accepted";
  EXPECT_EQ(picture.status().code(), StatusCode::corrupt_data);
  return picture.status().message();
}

TEST(ReadPictureTest, EveryKindOfFileBecomesRgbAsWithPillow) {
  int cases = 0;
  for (const Json& one : golden("files")) {
    const auto picture = read(bytes_of(one.at("file")));
    ASSERT_TRUE(picture.ok()) << one.at("name") << ": " << picture.status().message();
    // The decoders are the same, and what is done to their numbers ends in whole ones.
    EXPECT_EQ(difference(*picture, result_of(one, 3)), 0) << one.at("name");
    ++cases;
  }
  EXPECT_EQ(cases, 20);
}

TEST(ReadPictureTest, TheOrientationInExifIsIgnored) {
  const auto turned =
      std::ranges::find_if(golden("files"), [](const Json& one) { return one.at("name") == "jpeg turned"; });
  const std::string bytes = bytes_of(turned->at("file"));
  ASSERT_THAT(bytes, HasSubstr("Exif"));
  // Turned by a quarter it would be higher than wide.
  EXPECT_EQ(read(bytes)->size(), (Size{19, 13}));
}

TEST(ReadPictureTest, ARegionIsThatOfTheWholePicture) {
  const Picture source = formula_picture(157, 118, 3);
  Picture grey = formula_picture(157, 118, 1);
  std::vector<std::string> files = {png_of(source), jpeg_of(grey)};
  for (const bool progressive : {false, true})
    for (const auto& [across, down] : {std::pair{1, 1}, {2, 1}, {1, 2}, {2, 2}})
      files.push_back(jpeg_of(source, {across, down, progressive, 85}));
  for (const Json& one : golden("files")) files.push_back(bytes_of(one.at("file")));
  Draws draws(nn::Draw{1, 2}.key(3));
  for (std::size_t file = 0; file < files.size(); ++file) {
    const Picture all = read(files[file]).value();
    const auto random_region = [&](Size size) {
      const int width = 1 + draws.below(size.width), height = 1 + draws.below(size.height);
      return Rectangle{draws.below(size.width - width + 1), draws.below(size.height - height + 1), width,
                       height};
    };
    for (int i = 0; i < 60; ++i) {
      Rectangle region;
      const auto part = read(files[file], [&](Size size) { return region = random_region(size); });
      ASSERT_TRUE(part.ok()) << part.status().message();
      Picture expected;
      cut(all, region.left, region.top, {region.width, region.height}, expected);
      ASSERT_EQ(difference(*part, expected), 0) << "file " << file << ": " << region.left << " " << region.top
                                                << " " << region.width << " " << region.height;
      if (region.left == 0 || region.width < 20 || region.height < 20) continue;
      cut(all, region.left - 1, region.top, {region.width, region.height}, expected);
      ASSERT_GT(difference(*part, expected), 0);
    }
  }
}

TEST(ReadPictureTest, APictureOfOnePixelIsOne) {
  const Picture source = formula_picture(1, 1, 3);
  EXPECT_EQ(difference(read(png_of(source)).value(), source), 0);
  EXPECT_EQ(read(jpeg_of(source))->size(), (Size{1, 1}));
}

TEST(ReadPictureTest, WhatIsNoPictureIsRefused) {
  EXPECT_EQ(refused(""), "is empty");
  for (const char* bytes : {"hello", "GIF89a\1\0\1\0", "\xff\xd8", "\x89PNG", "BM"})
    EXPECT_EQ(refused(bytes), "is neither a JPEG nor a PNG picture");
  EXPECT_THAT(refused("\xff\xd8\xff and no more"), HasSubstr("is not a JPEG picture that can be read: "));
  EXPECT_THAT(refused("\x89PNG\r\n\x1a\n and no more"), HasSubstr("is not a PNG picture that can be read: "));
}

TEST(ReadPictureTest, ACutOffFileIsRefusedWhateverRegionIsWanted) {
  const auto first_pixel = [](Size) { return Rectangle{0, 0, 1, 1}; };
  for (const Json& one : golden("files")) {
    const std::string bytes = bytes_of(one.at("file"));
    for (std::size_t length = 0; length < bytes.size(); ++length) {
      const auto picture = read(std::string_view(bytes).substr(0, length), first_pixel);
      ASSERT_FALSE(picture.ok()) << one.at("name") << " of " << length << " bytes";
      ASSERT_EQ(picture.status().code(), StatusCode::corrupt_data);
    }
    EXPECT_TRUE(read(bytes, first_pixel).ok());
    EXPECT_TRUE(read(bytes + "and something behind it", first_pixel).ok()) << one.at("name");
  }
}

TEST(ReadPictureTest, AThumbnailsEndIsNotThatOfItsPicture) {
  const std::string whole_file = jpeg_of(formula_picture(40, 30, 3));
  const std::string thumbnail = jpeg_of(formula_picture(8, 6, 3));
  const std::size_t length = thumbnail.size() + 2;
  const std::string segment =
      std::string("\xff\xe1") + static_cast<char>(length >> 8U) + static_cast<char>(length) + thumbnail;
  const std::string with_thumbnail = whole_file.substr(0, 2) + segment + whole_file.substr(2);
  const auto first_pixel = [](Size) { return Rectangle{0, 0, 1, 1}; };
  ASSERT_TRUE(read(with_thumbnail, first_pixel).ok());
  EXPECT_EQ(read(with_thumbnail)->size(), (Size{40, 30}));
  for (std::size_t kept = 0; kept < with_thumbnail.size(); ++kept)
    ASSERT_FALSE(read(std::string_view(with_thumbnail).substr(0, kept), first_pixel).ok())
        << kept << " bytes";
}

TEST(ReadPictureTest, DamagedBytesOfAPngAreSeen) {
  const std::string whole_file = png_of(formula_picture(30, 20, 3));
  for (std::size_t at = 60; at + 20 < whole_file.size(); at += 7) {
    std::string bytes = whole_file;
    bytes[at] = static_cast<char>(bytes[at] ^ 0x40);
    EXPECT_FALSE(read(bytes).ok()) << at;
  }
}

TEST(ReadPictureTest, TooManyPixelsAreRefusedBeforeThereIsMemoryForThem) {
  // The sizes of a small PNG, and the checksum that belongs to them, and of a small JPEG.
  std::string png = png_of(formula_picture(2, 2, 3));
  png.replace(16, 8, std::string("\0\0\x75\x30\0\0\x75\x30", 8));
  png.replace(29, 4, std::string("\xe9\x45\x6f\xed", 4));
  std::string jpeg = jpeg_of(formula_picture(2, 2, 3));
  const std::size_t frame = jpeg.find("\xff\xc0");
  ASSERT_NE(frame, std::string::npos);
  jpeg.replace(frame + 5, 4, "\x75\x30\x75\x30");
  for (const std::string& bytes : {png, jpeg}) {
    ReadBuffers buffers;
    Picture picture;
    const Status status = read_picture(bytes, whole, buffers, picture);
    EXPECT_EQ(status.code(), StatusCode::unsupported);
    EXPECT_EQ(status.message(), "has 30000 x 30000 pixels, the limit is 134217728 in all");
    EXPECT_EQ(picture.pixels.capacity() + buffers.rows.capacity(), 0U);
  }
  // The bound itself may be reached.
  ReadBuffers buffers;
  Picture picture;
  const std::string small = png_of(formula_picture(4, 3, 3));
  EXPECT_TRUE(read_picture(small, whole, buffers, picture, 12).ok());
  EXPECT_FALSE(read_picture(small, whole, buffers, picture, 11).ok());
}

TEST(ReadPictureTest, AJpegOfTwoChannelsIsUnsupported) {
  std::string jpeg = jpeg_of(formula_picture(8, 8, 3), {1, 1});
  // Two of its three channels, in the header of the frame and of the scan.
  const std::size_t frame = jpeg.find("\xff\xc0");
  jpeg.replace(frame + 2, 2, std::string("\0\x0e", 2));
  jpeg[frame + 9] = 2;
  jpeg.erase(frame + 16, 3);
  const std::size_t scan = jpeg.find("\xff\xda");
  jpeg.replace(scan + 2, 2, std::string("\0\x0a", 2));
  jpeg[scan + 4] = 2;
  jpeg.erase(scan + 9, 2);
  const auto picture = read(jpeg);
  ASSERT_FALSE(picture.ok());
  EXPECT_EQ(picture.status().code(), StatusCode::unsupported);
  EXPECT_EQ(picture.status().message(), "is a JPEG picture of unknown channels, expected grey, RGB or CMYK");
}

TEST(ReadPictureTest, BuffersAreUsedAgainByOtherPictures) {
  ReadBuffers buffers;
  Picture picture;
  for (int round = 0; round < 2; ++round)
    for (const Json& one : golden("files")) {
      ASSERT_FALSE(read_picture("\xff\xd8\xff?", whole, buffers, picture).ok());
      ASSERT_TRUE(read_picture(bytes_of(one.at("file")), whole, buffers, picture).ok());
      EXPECT_EQ(difference(picture, result_of(one, 3)), 0) << one.at("name");
    }
}

}  // namespace
}  // namespace gradstab::lab::vision
