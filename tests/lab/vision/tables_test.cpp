// IDX and CIFAR files, and how a source is divided into parts.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <set>
#include <string>

#include "lab/vision/cifar.hpp"
#include "lab/vision/idx.hpp"
#include "lab/vision/part_order.hpp"
#include "test_sources.hpp"
#include "tests/lab/support/test_folder.hpp"

namespace gradstab::lab::vision {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::StartsWith;

constexpr auto kAllParts = {Part::training, Part::validation, Part::test};

std::string error_of(const Status& status) {
  EXPECT_EQ(status.code(), StatusCode::corrupt_data);
  return status.message();
}

TEST(IdxTest, SizesAndPixels) {
  const auto set = parse_idx_pictures(idx_pictures(3, 5, 4), "x");
  ASSERT_TRUE(set.ok()) << set.status().message();
  EXPECT_EQ(set->size, (Size{5, 4}));
  EXPECT_EQ(set->pixels.size(), 60U);
  EXPECT_EQ(set->pixels[21], static_cast<std::uint8_t>(mix64(100001)));
  EXPECT_THAT(parse_idx_labels(idx_labels({1, 0, 2}), "x").value(), ElementsAre(1, 0, 2));
}

TEST(IdxTest, WrongMagicNumbersAreNamed) {
  EXPECT_EQ(error_of(parse_idx_pictures(idx_labels({1, 2}), "x").status()),
            "x: is not an IDX file of unsigned bytes in 3 dimensions: it begins with 0x00000801, expected "
            "0x00000803");
  EXPECT_EQ(error_of(parse_idx_labels(idx_pictures(1, 2, 2), "x").status()),
            "x: is not an IDX file of unsigned bytes in 1 dimension: it begins with 0x00000803, expected "
            "0x00000801");
  EXPECT_EQ(
      error_of(parse_idx_labels("ab", "x").status()),
      "x: is not an IDX file of unsigned bytes in 1 dimension: it begins with 2 bytes, expected 0x00000801");
  EXPECT_EQ(error_of(parse_idx_pictures(big_endian(0x803), "x").status()),
            "x: has 4 bytes, expected a header of 16");
}

TEST(IdxTest, SizesThatDoNotFitAreNamed) {
  const std::string good = idx_pictures(3, 5, 4);
  EXPECT_EQ(error_of(parse_idx_pictures(good + "?", "x").status()),
            "x: has 61 bytes after its header, which says 60");
  EXPECT_EQ(error_of(parse_idx_pictures(good.substr(0, 70), "x").status()),
            "x: has 54 bytes after its header, which says 60");
  const auto with_sizes = [](std::uint32_t count, std::uint32_t height, std::uint32_t width) {
    return big_endian(0x803) + big_endian(count) + big_endian(height) + big_endian(width);
  };
  EXPECT_EQ(error_of(parse_idx_pictures(with_sizes(0, 2, 2), "x").status()),
            "x: size 0 of dimension 1 must be from 1 to 4294967295");
  EXPECT_EQ(error_of(parse_idx_pictures(with_sizes(1, 0, 2), "x").status()),
            "x: size 0 of dimension 2 must be from 1 to 4096");
  EXPECT_EQ(error_of(parse_idx_pictures(with_sizes(1, 2, 4097), "x").status()),
            "x: size 4097 of dimension 3 must be from 1 to 4096");
  // No product overflows.
  EXPECT_EQ(error_of(parse_idx_pictures(with_sizes(0xffffffff, 4096, 4096), "x").status()),
            "x: has 0 bytes after its header, which says 72057594021150720");
}

TEST(CifarTest, PlanesBecomePixels) {
  std::string record("\x07", 1);
  for (int c = 0; c < 3; ++c)
    for (int pixel = 0; pixel < 1024; ++pixel) record += static_cast<char>(c * 100 + pixel % 97);
  PackedPictures set;
  ASSERT_TRUE(append_cifar(record + record, "x", 1, set).ok());
  ASSERT_EQ(set.count(), 2);
  EXPECT_THAT(set.labels, ElementsAre(7, 7));
  for (const std::size_t pixel : {0U, 33U, 1023U})
    for (std::size_t c = 0; c < 3; ++c) EXPECT_EQ(set.pixels[3072 + 3 * pixel + c], c * 100 + pixel % 97);
  // With two labels the fine one counts, which is the second.
  PackedPictures fine;
  ASSERT_TRUE(append_cifar("\x13" + record, "x", 2, fine).ok());
  EXPECT_THAT(fine.labels, ElementsAre(7));
  EXPECT_EQ(fine.pixels[3], set.pixels[3]);
}

TEST(CifarTest, NoWholeNumberOfPicturesIsRefused) {
  PackedPictures set;
  EXPECT_EQ(error_of(append_cifar("", "x", 1, set)),
            "x: has 0 bytes, expected a multiple of the 3073 of a picture");
  EXPECT_EQ(error_of(append_cifar(std::string(3073, 'a'), "x", 2, set)),
            "x: has 3073 bytes, expected a multiple of the 3074 of a picture");
}

class TablesTest : public FolderTest {
 protected:
  std::shared_ptr<const PictureSource> open(std::int64_t validation) const {
    auto source = open_source({folder_.string(), validation});
    EXPECT_TRUE(source.ok()) << source.status().message();
    return source.ok() ? *source : nullptr;
  }
  Picture picture(const PictureSource& source, Part part, std::int64_t index) const {
    ReadBuffers buffers;
    Picture picture;
    source.read(part, index, whole, buffers, picture).check();
    return picture;
  }
  void write_cifar(bool hundred, int classes, char label = 1) const {
    const std::string record = std::string(hundred ? 1 : 0, '\x05') + label + std::string(3072, 'p');
    if (hundred) {
      write_file(folder_ / "train.bin", record + record + record);
      write_file(folder_ / "test.bin", record);
    } else {
      for (int i = 1; i <= 5; ++i) write_file(folder_ / ("data_batch_" + std::to_string(i) + ".bin"), record);
      write_file(folder_ / "test_batch.bin", record + record);
    }
    std::string names;
    for (int i = 0; i < classes; ++i) names += "class " + std::to_string(i) + "\r\n";
    write_file(folder_ / (hundred ? "fine_label_names.txt" : "batches.meta.txt"), names + "\n");
  }
};

TEST_F(TablesTest, AnIdxFolderIsRead) {
  write_idx_folder(folder_, 30, 12, 6, 5);
  const auto source = open(10);
  const SourceInfo& info = source->info();
  EXPECT_EQ(info.name, "idx");
  EXPECT_THAT(info.classes, ElementsAre("0", "1", "2"));
  EXPECT_THAT(info.pictures, ElementsAre(20, 10, 12));
  EXPECT_FALSE(info.validation_is_test);
  EXPECT_EQ(info.size, (Size{6, 5}));
  EXPECT_EQ(info.channels, 1);
  EXPECT_THAT(source->describe(Part::test, 3), EndsWith("t10k-images-idx3-ubyte'"));
}

TEST_F(TablesTest, PackedFilesAreTheSame) {
  write_idx_folder(folder_, 30, 12);
  const std::string sha256 = open(10)->info().sha256;
  const Picture before = picture(*open(10), Part::validation, 4);
  for (const auto& entry : fs::directory_iterator(folder_)) {
    write_file(entry.path().string() + ".gz", gzipped(content(entry.path())));
    fs::remove(entry.path());
  }
  EXPECT_EQ(open(10)->info().sha256, sha256);
  EXPECT_EQ(difference(picture(*open(10), Part::validation, 4), before), 0);
  write_file(folder_ / "t10k-labels-idx1-ubyte.gz", gzipped(idx_labels(labels_in_turn(12, 2))));
  EXPECT_NE(open(10)->info().sha256, sha256);
}

TEST_F(TablesTest, PartsShareNoPictureAndHaveAllOfThem) {
  write_idx_folder(folder_, 50, 9);
  for (const std::int64_t validation : {1, 13, 49}) {
    const auto source = open(validation);
    std::multiset<std::string> names;
    for (const Part part : kAllParts)
      for (std::int64_t i = 0; i < source->size(part); ++i) names.insert(source->describe(part, i));
    EXPECT_EQ(names.size(), 59U);
    EXPECT_EQ(std::set<std::string>(names.begin(), names.end()).size(), 59U);
  }
  // The label belongs to the picture.
  const auto source = open(13);
  for (const Part part : kAllParts)
    for (std::int64_t i = 0; i < source->size(part); ++i) {
      const std::string name = source->describe(part, i);
      EXPECT_EQ(source->label(part, i), std::stoi(name.substr(name.find(' '))) % 3);
      const auto number = static_cast<std::uint64_t>(std::stoi(name.substr(name.find(' '))));
      EXPECT_EQ(picture(*source, part, i).pixels[7], static_cast<std::uint8_t>(mix64(number * 100000 + 7)));
    }
}

TEST_F(TablesTest, WithoutAValidationPartTheTestPartIsOne) {
  write_idx_folder(folder_, 30, 12);
  const auto source = open(0);
  EXPECT_TRUE(source->info().validation_is_test);
  EXPECT_THAT(source->info().pictures, ElementsAre(30, 12, 12));
  for (std::int64_t i = 0; i < 12; ++i)
    EXPECT_EQ(source->describe(Part::validation, i), source->describe(Part::test, i));
}

TEST_F(TablesTest, ValidationMustLeaveTrainingPictures) {
  write_idx_folder(folder_, 30, 12);
  EXPECT_EQ(refusal(folder_, StatusCode::invalid_argument, 30),
            quoted(folder_) +
                ": 30 of 30 training pictures cannot be kept for validation, expected fewer than "
                "there are");
  EXPECT_THAT(refusal(folder_, StatusCode::invalid_argument, -1), HasSubstr("must be at least 0, got -1"));
}

TEST_F(TablesTest, MeanAndDeviationAreThoseOfTheTrainingPart) {
  write_idx_folder(folder_, 30, 12);
  const auto source = open(10);
  double sum = 0, squares = 0;
  for (std::int64_t i = 0; i < 20; ++i)
    for (const std::uint8_t value : picture(*source, Part::training, i).pixels) {
      sum += value / 255.0;
      squares += value / 255.0 * (value / 255.0);
    }
  const double mean = sum / (20 * 36);
  ASSERT_EQ(source->info().mean.size(), 1U);
  EXPECT_NEAR(source->info().mean[0], mean, 1e-12);
  EXPECT_NEAR(source->info().deviation[0], std::sqrt(squares / (20 * 36) - mean * mean), 1e-12);
  EXPECT_GT(std::abs(open(0)->info().mean[0] - mean), 1e-6);
}

TEST_F(TablesTest, FilesThatDoNotBelongTogetherAreRefused) {
  write_idx_folder(folder_, 30, 12);
  write_file(folder_ / "train-labels-idx1-ubyte", idx_labels(labels_in_turn(29, 3)));
  EXPECT_EQ(refusal(folder_, StatusCode::corrupt_data),
            quoted(folder_ / "train-labels-idx1-ubyte") + " has 29 labels, and " +
                quoted(folder_ / "train-images-idx3-ubyte") + " 30 pictures");
  write_file(folder_ / "train-labels-idx1-ubyte", idx_labels(labels_in_turn(30, 3)));
  write_file(folder_ / "t10k-images-idx3-ubyte", idx_pictures(12, 7, 6));
  EXPECT_EQ(refusal(folder_, StatusCode::corrupt_data),
            quoted(folder_ / "train-images-idx3-ubyte") + " has pictures of 6x6, and " +
                quoted(folder_ / "t10k-images-idx3-ubyte") + " of 7x6");
}

TEST_F(TablesTest, ALabelOutOfRangeIsNamed) {
  write_idx_folder(folder_, 30, 4);
  write_file(folder_ / "t10k-labels-idx1-ubyte", idx_labels({0, 1, 3, 2}));
  EXPECT_EQ(
      refusal(folder_, StatusCode::corrupt_data),
      quoted(folder_ / "t10k-labels-idx1-ubyte") + ": the label of picture 2 is 3, expected one of 0 to 2");
}

TEST_F(TablesTest, AClassWithoutATrainingPictureIsNoted) {
  write_idx_folder(folder_, 4, 1);
  write_file(folder_ / "train-labels-idx1-ubyte", idx_labels({0, 2, 2, 0}));
  EXPECT_THAT(open(0)->info().notes, ElementsAre("No training picture has the label 1 (1)."));
}

TEST_F(TablesTest, AMissingFileIsNamed) {
  write_idx_folder(folder_, 30, 12);
  fs::remove(folder_ / "t10k-labels-idx1-ubyte");
  EXPECT_EQ(refusal(folder_, StatusCode::io_error),
            "cannot open " + quoted(folder_ / "t10k-labels-idx1-ubyte.gz") + ": No such file or directory");
}

TEST_F(TablesTest, ACutOffPackedFileIsNamed) {
  write_idx_folder(folder_, 30, 12);
  fs::remove(folder_ / "t10k-labels-idx1-ubyte");
  const std::string packed = gzipped(idx_labels(labels_in_turn(12, 3)));
  write_file(folder_ / "t10k-labels-idx1-ubyte.gz", packed.substr(0, packed.size() - 3));
  EXPECT_THAT(refusal(folder_, StatusCode::corrupt_data),
              StartsWith(quoted(folder_ / "t10k-labels-idx1-ubyte.gz") + ": is not a complete gzip file"));
}

TEST_F(TablesTest, Cifar10IsRead) {
  write_cifar(false, 10);
  const auto source = open(2);
  EXPECT_EQ(source->info().name, "cifar-10");
  EXPECT_THAT(source->info().pictures, ElementsAre(3, 2, 2));
  EXPECT_EQ(source->info().classes.size(), 10U);
  EXPECT_EQ(source->info().classes[9], "class 9");
  EXPECT_EQ(source->info().channels, 3);
  EXPECT_EQ(source->label(Part::test, 1), 1);
}

TEST_F(TablesTest, Cifar100IsRead) {
  write_cifar(true, 100, 'c');
  const auto source = open(1);
  EXPECT_EQ(source->info().name, "cifar-100");
  EXPECT_THAT(source->info().pictures, ElementsAre(2, 1, 1));
  EXPECT_EQ(source->label(Part::training, 0), 'c');
}

TEST_F(TablesTest, CifarWithOtherClassesIsRefused) {
  write_cifar(false, 9);
  EXPECT_EQ(refusal(folder_, StatusCode::corrupt_data),
            quoted(folder_ / "batches.meta.txt") + " has 9 class names, expected 10");
  write_cifar(false, 10, '\x0a');
  EXPECT_THAT(refusal(folder_, StatusCode::corrupt_data),
              HasSubstr("the label of picture 0 is 10, expected one of 0 to 9"));
  fs::remove(folder_ / "data_batch_3.bin");
  EXPECT_THAT(refusal(folder_, StatusCode::io_error), HasSubstr("data_batch_3.bin"));
}

TEST_F(TablesTest, WhatIsNoKnownDataIsRefused) {
  EXPECT_EQ(refusal("", StatusCode::invalid_argument),
            "the data source is empty, expected 'fashion-mnist' or a folder");
  EXPECT_EQ(refusal(folder_ / "none", StatusCode::io_error),
            "there is no folder " + quoted(folder_ / "none"));
  EXPECT_EQ(refusal(make("file"), StatusCode::io_error), quoted(folder_ / "file") + " is not a folder");
  EXPECT_THAT(
      refusal(folder_, StatusCode::invalid_argument),
      StartsWith(quoted(folder_) +
                 " holds no pictures of a known kind, expected IDX files such as train-images-idx3-ubyte"));
}

TEST(FashionMnistTest, IsReadAndKnown) {
  if (!fs::exists(kFashionMnistFolder)) GTEST_SKIP() << "dataset-fashion-mnist is not installed";
  const auto source = open_source({}).value();
  const SourceInfo& info = source->info();
  EXPECT_EQ(info.name, "fashion-mnist");
  EXPECT_THAT(info.pictures, ElementsAre(55000, 5000, 10000));
  EXPECT_EQ(info.classes[9], "Ankle boot");
  EXPECT_EQ(info.size, (Size{28, 28}));
  // Known figures of all 60,000 training pictures.
  const auto all = open_source({kFashionMnistSource, 0}).value();
  EXPECT_NEAR(all->info().mean[0], 0.2860, 5e-5);
  EXPECT_NEAR(all->info().deviation[0], 0.3530, 5e-5);
  // All classes are equally frequent, and validation is a fair sample.
  std::array<int, 10> counts{};
  for (std::int64_t i = 0; i < 5000; ++i)
    ++counts[static_cast<std::size_t>(source->label(Part::validation, i))];
  for (const int count : counts) EXPECT_NEAR(count, 500, 5 * std::sqrt(5000 * 0.1 * 0.9));
  EXPECT_EQ(to_json(info).at("validation"), 5000);
}

}  // namespace
}  // namespace gradstab::lab::vision
