// Every byte of a growing file is read once, and one that is no longer the same is read anew.
#include "lab/support/growing_file.hpp"

#include <filesystem>
#include <fstream>
#include <string>

#include "test_folder.hpp"

namespace gradstab::lab {
namespace {

using ::testing::HasSubstr;

constexpr std::size_t kAll = 1 << 20;

class GrowingFileTest : public FolderTest {
 protected:
  void append(const std::string& bytes) const {
    std::ofstream(path_, std::ios::app | std::ios::binary) << bytes;
  }
  std::filesystem::path path_ = make("log", "one\n");
  GrowingFile file_{path_};
};

TEST_F(GrowingFileTest, GivesEveryByteOnce) {
  EXPECT_EQ(file_.read(kAll)->bytes, "one\n");
  EXPECT_EQ(file_.read(kAll)->bytes, "");
  EXPECT_TRUE(file_.at_end());
  std::string read, written;
  for (int i = 0; i < 300; ++i) {
    const std::string more(static_cast<std::size_t>(i), static_cast<char>('a' + i % 26));
    append(more);
    written += more;
    const auto piece = file_.read(kAll).value();
    EXPECT_FALSE(piece.anew);
    read += piece.bytes;
  }
  EXPECT_EQ(read, written);
}

TEST_F(GrowingFileTest, InPieces) {
  append("two\nthree\n");
  std::string read;
  while (true) {
    const auto piece = file_.read(3).value();
    EXPECT_FALSE(piece.anew);
    if (piece.bytes.empty()) break;
    EXPECT_LE(piece.bytes.size(), 3u);
    read += piece.bytes;
    EXPECT_EQ(file_.position(), read.size());
    EXPECT_EQ(file_.at_end(), read.size() == 14);
  }
  EXPECT_EQ(read, "one\ntwo\nthree\n");
}

TEST_F(GrowingFileTest, AnewWhenItIsNoLongerTheSame) {
  const auto expect_anew = [&](const std::string& bytes, const char* what) {
    const auto piece = file_.read(kAll).value();
    EXPECT_TRUE(piece.anew) << what;
    EXPECT_EQ(piece.bytes, bytes) << what;
    EXPECT_EQ(file_.read(kAll)->bytes, "") << what;
  };
  EXPECT_FALSE(file_.read(kAll)->anew);
  make("log", "on");
  expect_anew("on", "cut");
  make("log", "another, longer");
  expect_anew("another, longer", "written over");
  make("other", "another, longer, too");
  std::filesystem::rename(path_.parent_path() / "other", path_);
  expect_anew("another, longer, too", "replaced");
  make("log", "");
  expect_anew("", "emptied");
  append("x");
  EXPECT_FALSE(file_.read(kAll)->anew);
}

TEST_F(GrowingFileTest, WhatCannotBeRead) {
  file_.read(kAll).value();
  std::filesystem::remove(path_);
  EXPECT_THAT(file_.read(kAll).status().message(), HasSubstr("No such file"));
  make("log", "one\nagain\n");
  const auto piece = file_.read(kAll).value();
  EXPECT_EQ(piece.bytes,
            piece.anew ? "one\nagain\n" : "again\n");  // the system may give the same number again
  GrowingFile pipe(make_pipe("pipe"));
  EXPECT_THAT(pipe.read(kAll).status().message(), HasSubstr("is a pipe"));
}

}  // namespace
}  // namespace gradstab::lab
