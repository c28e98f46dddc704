// Folders of pictures, rule by rule (lab/vision/picture_folder.hpp).
#include "lab/vision/picture_folder.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <map>
#include <set>
#include <string>

#include "test_sources.hpp"
#include "tests/lab/support/test_folder.hpp"

namespace gradstab::lab::vision {
namespace {

namespace fs = std::filesystem;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::StartsWith;

class PictureFolderTest : public FolderTest {
 protected:
  std::shared_ptr<const PictureSource> open(std::int64_t validation = 0) const {
    auto source = open_source({folder_.string(), validation});
    EXPECT_TRUE(source.ok()) << source.status().message();
    return source.ok() ? *source : nullptr;
  }
  /// How many pictures each class has in a part.
  std::map<std::string, int> counts(const PictureSource& source, Part part) const {
    std::map<std::string, int> found;
    for (std::int64_t i = 0; i < source.size(part); ++i) {
      const std::string& name = source.info().classes[static_cast<std::size_t>(source.label(part, i))];
      EXPECT_THAT(source.describe(part, i), HasSubstr("/" + name + "/"));
      ++found[name];
    }
    return found;
  }
};

TEST_F(PictureFolderTest, ClassesAreTheSortedNamesOfTheTrainingPart) {
  write_picture_folder(folder_, 4);
  fs::rename(folder_ / "train" / "bee", folder_ / "train" / "Zebra");
  fs::rename(folder_ / "val" / "bee", folder_ / "val" / "Zebra");
  const auto source = open();
  EXPECT_THAT(source->info().classes, ElementsAre("Zebra", "ant", "cat"));
  EXPECT_THAT(source->info().pictures, ElementsAre(12, 6, 6));
  EXPECT_TRUE(source->info().validation_is_test);
  EXPECT_THAT(source->info().notes, IsEmpty());
  EXPECT_EQ(counts(*source, Part::training),
            (std::map<std::string, int>{{"Zebra", 4}, {"ant", 4}, {"cat", 4}}));
  EXPECT_EQ(counts(*source, Part::test), (std::map<std::string, int>{{"Zebra", 2}, {"ant", 2}, {"cat", 2}}));
}

TEST_F(PictureFolderTest, PartsCanBeValidationTestOrBoth) {
  write_picture_folder(folder_, 4);
  fs::copy(folder_ / "val", folder_ / "test", fs::copy_options::recursive);
  EXPECT_FALSE(open()->info().validation_is_test);
  EXPECT_THAT(open(3)->info().pictures, ElementsAre(12, 6, 6));
  fs::remove_all(folder_ / "val");
  EXPECT_THAT(open(3)->info().pictures, ElementsAre(9, 3, 6));
  EXPECT_THAT(open(0)->info().pictures, ElementsAre(12, 6, 6));
  fs::remove_all(folder_ / "test");
  EXPECT_EQ(refusal(folder_, StatusCode::invalid_argument),
            quoted(folder_) + ": there is neither a test nor a validation picture");
}

TEST_F(PictureFolderTest, AClassThatTrainingHasNotIsAnErrorThatNamesIt) {
  write_picture_folder(folder_, 2);
  fs::rename(folder_ / "val" / "bee", folder_ / "val" / "wasp");
  EXPECT_EQ(
      refusal(folder_, StatusCode::invalid_argument),
      "the class 'wasp' is in " + quoted(folder_ / "val") + ", but not in " + quoted(folder_ / "train"));
}

TEST_F(PictureFolderTest, AClassThatValidationHasNotShiftsNoLabel) {
  write_picture_folder(folder_, 4);
  fs::remove_all(folder_ / "val" / "bee");
  const auto source = open();
  EXPECT_EQ(counts(*source, Part::validation), (std::map<std::string, int>{{"ant", 2}, {"cat", 2}}));
  EXPECT_THAT(source->info().notes,
              ElementsAre(quoted(folder_ / "val") + " has no picture of the class 'bee'."));
  fs::create_directory(folder_ / "val" / "bee");
  EXPECT_EQ(open()->info().notes.size(), 1U);
}

TEST_F(PictureFolderTest, AClassWithoutPicturesIsRefused) {
  write_picture_folder(folder_, 2);
  fs::create_directory(folder_ / "train" / "dog");
  const std::string expected =
      quoted(folder_ / "train" / "dog") +
      " has no picture, expected files that end with .jpg, .jpeg or .png directly in it";
  EXPECT_EQ(refusal(folder_, StatusCode::invalid_argument), expected);
  write_file(folder_ / "train" / "dog" / "readme.txt", "no dog");
  write_file(folder_ / "train" / "dog" / "inside" / "1.jpg", jpeg_of(formula_picture(8, 8, 3)));
  EXPECT_EQ(refusal(folder_, StatusCode::invalid_argument), expected);
  write_file(folder_ / "train" / "dog" / "1.JPEG", jpeg_of(formula_picture(8, 8, 3)));
  EXPECT_THAT(open()->info().notes,
              Contains(quoted(folder_ / "val") + " has no picture of the class 'dog'."));
}

TEST_F(PictureFolderTest, EmptyFoldersAreRefused) {
  fs::create_directory(folder_ / "train");
  EXPECT_EQ(refusal(folder_, StatusCode::invalid_argument),
            quoted(folder_ / "train") + " has no folder, expected one for each class");
  write_picture_folder(folder_, 2);
  fs::remove_all(folder_ / "val");
  fs::create_directories(folder_ / "val" / "bee");
  EXPECT_EQ(refusal(folder_, StatusCode::invalid_argument), quoted(folder_ / "val") + " has no picture");
}

TEST_F(PictureFolderTest, OtherFilesAreCountedAndHiddenOnesAreNot) {
  write_picture_folder(folder_, 2);
  write_file(folder_ / "train" / "ant" / "notes.txt", "?");
  write_file(folder_ / "train" / "list.csv", "?");
  write_file(folder_ / "train" / "bee" / "inside" / "x.jpg", "?");
  write_file(folder_ / "train" / ".hidden" / "x.jpg", "?");
  write_file(folder_ / "train" / "ant" / "._1.jpg", "?");
  const auto source = open();
  EXPECT_THAT(source->info().pictures, ElementsAre(6, 3, 3));
  EXPECT_THAT(
      source->info().notes,
      ElementsAre("In " + quoted(folder_ / "train") +
                      ", 2 files that do not end with .jpg, .jpeg or .png are left out.",
                  "In " + quoted(folder_ / "train") + ", 1 folder inside of classes is not looked into."));
}

TEST_F(PictureFolderTest, LinksToFoldersAndFilesAreFollowed) {
  write_picture_folder(folder_, 2);
  fs::rename(folder_ / "train" / "bee", folder_ / "elsewhere");
  fs::create_directory_symlink(folder_ / "elsewhere", folder_ / "train" / "bee");
  fs::create_symlink(folder_ / "elsewhere" / "0.jpg", folder_ / "train" / "ant" / "linked.jpg");
  const auto source = open();
  EXPECT_EQ(counts(*source, Part::training),
            (std::map<std::string, int>{{"ant", 3}, {"bee", 2}, {"cat", 2}}));
  ReadBuffers buffers;
  Picture picture;
  for (std::int64_t i = 0; i < source->size(Part::training); ++i)
    EXPECT_TRUE(source->read(Part::training, i, whole, buffers, picture).ok());
}

TEST_F(PictureFolderTest, AClassThatIsALinkToNothingIsRefused) {
  write_picture_folder(folder_, 2);
  fs::create_directory_symlink(folder_ / "gone", folder_ / "train" / "dog");
  EXPECT_EQ(
      refusal(folder_, StatusCode::io_error),
      quoted(folder_ / "train" / "dog") + " is a link that leads nowhere, expected the folder of a class");
}

TEST_F(PictureFolderTest, WhatCannotBeReadIsAnErrorOfThatPicture) {
  write_picture_folder(folder_, 1);
  write_file(folder_ / "train" / "ant" / "empty.jpg", "");
  write_file(folder_ / "train" / "ant" / "text.jpg", "not a picture");
  fs::create_symlink(folder_ / "gone.jpg", folder_ / "train" / "ant" / "gone.jpg");
  make_pipe("pipe");
  fs::rename(folder_ / "pipe", folder_ / "train" / "ant" / "pipe.jpg");
  write_file(folder_ / "train" / "ant" / "locked.jpg", jpeg_of(formula_picture(8, 8, 3)));
  fs::permissions(folder_ / "train" / "ant" / "locked.jpg", fs::perms::none);
  const auto source = open();
  ASSERT_EQ(source->size(Part::training), 8);
  std::map<std::string, std::string> errors;
  ReadBuffers buffers;
  Picture picture;
  for (std::int64_t i = 0; i < 8; ++i) {
    const Status status = source->read(Part::training, i, whole, buffers, picture);
    const std::string name = source->describe(Part::training, i);
    if (!status.ok()) errors[fs::path(name.substr(1, name.size() - 2)).filename()] = status.message();
  }
  const fs::path ant = folder_ / "train" / "ant";
  std::map<std::string, std::string> expected = {
      {"empty.jpg", quoted(ant / "empty.jpg") + " is empty"},
      {"text.jpg", quoted(ant / "text.jpg") + " is neither a JPEG nor a PNG picture"},
      {"gone.jpg", "cannot open " + quoted(ant / "gone.jpg") + ": No such file or directory"},
      {"pipe.jpg", quoted(ant / "pipe.jpg") + " is a pipe, expected a file"}};
  // Root may read everything.
  if (::geteuid() != 0)
    expected["locked.jpg"] = "cannot open " + quoted(ant / "locked.jpg") + ": Permission denied";
  EXPECT_EQ(errors, expected);
}

TEST_F(PictureFolderTest, TheContentDecidesWhatAFileIs) {
  write_picture_folder(folder_, 1);
  write_file(folder_ / "train" / "ant" / "0.jpg", png_of(formula_picture(9, 8, 3)));
  const auto source = open();
  ReadBuffers buffers;
  Picture picture;
  for (std::int64_t i = 0; i < 3; ++i)
    EXPECT_TRUE(source->read(Part::training, i, whole, buffers, picture).ok());
}

TEST_F(PictureFolderTest, TheHashIsThatOfNamesAndSizes) {
  write_picture_folder(folder_, 2);
  const std::string before = open()->info().sha256;
  EXPECT_EQ(open(1)->info().sha256, before);
  fs::rename(folder_ / "train" / "ant" / "0.jpg", folder_ / "train" / "ant" / "00.jpg");
  const std::string renamed = open()->info().sha256;
  EXPECT_NE(renamed, before);
  fs::rename(folder_ / "train" / "ant" / "00.jpg", folder_ / "train" / "ant" / "0.jpg");
  EXPECT_EQ(open()->info().sha256, before);
  write_file(folder_ / "train" / "ant" / "0.jpg", content(folder_ / "train" / "ant" / "0.jpg") + "?");
  EXPECT_NE(open()->info().sha256, before);
}

TEST_F(PictureFolderTest, TheFirstOfAPartAreOfAllClasses) {
  write_picture_folder(folder_, 30, 8, 8);
  const auto source = open();
  std::set<int> labels;
  for (std::int64_t i = 0; i < 12; ++i) labels.insert(source->label(Part::validation, i));
  EXPECT_EQ(labels.size(), 3U);
}

}  // namespace
}  // namespace gradstab::lab::vision
