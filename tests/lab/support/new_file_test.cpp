// Temporary files: what a killed writer leaves is removed by the next one, what a living one writes is not.
#include "lab/support/new_file.hpp"

#include <signal.h>
#include <sys/wait.h>

#include "lab/support/files.hpp"
#include "test_folder.hpp"

namespace gradstab::lab {
namespace {

using ::testing::ElementsAre;
using ::testing::SizeIs;
using ::testing::StartsWith;

class NewFileTest : public FolderTest {
 protected:
  const std::filesystem::path target_ = folder_ / "checkpoint";
};

TEST_F(NewFileTest, TakesItsNameAtTheEnd) {
  {
    auto file = NewFile::create(target_).value();
    ASSERT_TRUE(file.write("first ").ok());
    ASSERT_TRUE(file.write("second").ok());
    EXPECT_FALSE(std::filesystem::exists(target_));
    ASSERT_TRUE(file.commit().ok());
  }
  EXPECT_EQ(content(target_), "first second");
  {
    auto file = NewFile::create(target_).value();
    ASSERT_TRUE(file.write("never").ok());
    ASSERT_TRUE(file.flush().ok());
    EXPECT_THAT(names(), SizeIs(2));
  }
  EXPECT_EQ(content(target_), "first second");
  EXPECT_THAT(names(), ElementsAre("checkpoint"));
}

TEST_F(NewFileTest, AKilledWriterIsClearedAwayByTheNextOneAndALivingOneIsNot) {
  make("checkpoint", "old");
  const auto go_on = folder_ / "go_on";
  const pid_t writer = ::fork();
  if (writer == 0) {
    auto file = NewFile::create(target_).value();
    const bool written = file.write(std::string(2 << 20, 'w')).ok() && file.flush().ok();
    make(written ? "written" : "failed");
    for (int tries = 0; tries < 6000 && !std::filesystem::exists(go_on); ++tries) ::usleep(10000);
    ::_exit(file.commit().ok() ? 0 : 1);
  }
  ASSERT_TRUE(wait_until([&] { return std::filesystem::exists(folder_ / "written"); }));
  ASSERT_THAT(names(), SizeIs(3)) << "the old file, its temporary one, the sign that it was written";

  // It lives: it loses nothing, and comes later.
  ASSERT_TRUE(write_file_atomically(target_, "between").ok());
  remove_abandoned_files(folder_);
  ASSERT_THAT(names(), SizeIs(3));
  EXPECT_EQ(content(target_), "between");
  make("go_on");
  int status = -1;
  ASSERT_EQ(::waitpid(writer, &status, 0), writer);
  EXPECT_EQ(status, 0);
  EXPECT_EQ(content(target_), std::string(2 << 20, 'w'));
  std::filesystem::remove(folder_ / "written");
  std::filesystem::remove(go_on);

  // It is killed in the middle.
  const pid_t killed = ::fork();
  if (killed == 0) {
    auto file = NewFile::create(target_).value();
    const bool written = file.write(std::string(2 << 20, 'k')).ok() && file.flush().ok();
    make(written ? "written" : "failed");
    for (;;) ::pause();
  }
  ASSERT_TRUE(wait_until([&] { return std::filesystem::exists(folder_ / "written"); }));
  ASSERT_EQ(::kill(killed, SIGKILL), 0);
  ASSERT_EQ(::waitpid(killed, &status, 0), killed);
  ASSERT_THAT(names(), SizeIs(3)) << "what it was writing is still there";
  EXPECT_EQ(content(target_), std::string(2 << 20, 'w')) << "and is not the file";
  ASSERT_TRUE(write_file_atomically(target_, "new").ok());
  EXPECT_EQ(content(target_), "new");
  EXPECT_THAT(names(), ElementsAre("checkpoint", "written"));
}

TEST_F(NewFileTest, OnlyItsOwnNamesAreRemoved) {
  for (const char* name : {"checkpoint.tmp28310", "checkpoint.tmp28310-0", "other.tmp1-2"}) make(name);
  const std::vector<std::string> kept = {".tmp1-2",           "checkpoint",        "checkpoint.tmp",
                                         "checkpoint.tmp1-",  "checkpoint.tmp1-x", "checkpoint.tmp1-2.txt",
                                         "checkpoint.tmpfile"};
  for (const std::string& name : kept) make(name);
  std::filesystem::create_directory(folder_ / "checkpoint.tmp5-5");
  std::filesystem::create_symlink(folder_ / "checkpoint", folder_ / "checkpoint.tmp6-6");

  remove_abandoned_files(folder_, "checkpoint");
  EXPECT_TRUE(std::filesystem::exists(folder_ / "other.tmp1-2")) << "of another file";
  remove_abandoned_files(folder_);
  auto expected = kept;
  expected.insert(expected.end(), {"checkpoint.tmp5-5", "checkpoint.tmp6-6"});
  std::ranges::sort(expected);
  EXPECT_EQ(names(), expected);
}

TEST_F(NewFileTest, ManyWritersLeaveOneWholeFile) {
  constexpr int kWriters = 4;
  constexpr int kTimes = 40;
  std::vector<pid_t> writers;
  for (int writer = 0; writer < kWriters; ++writer) {
    const pid_t child = ::fork();
    if (child == 0) {
      const std::string bytes(50000, static_cast<char>('a' + writer));
      bool good = true;
      for (int times = 0; times < kTimes; ++times) good &= write_file_atomically(target_, bytes).ok();
      ::_exit(good ? 0 : 1);
    }
    writers.push_back(child);
  }
  for (const pid_t writer : writers) {
    int status = -1;
    ASSERT_EQ(::waitpid(writer, &status, 0), writer);
    EXPECT_EQ(status, 0) << "a writer took the temporary file of another one for abandoned";
  }
  const std::string bytes = content(target_);
  ASSERT_EQ(bytes.size(), 50000u);
  EXPECT_EQ(bytes, std::string(50000, bytes.front()));
  EXPECT_THAT(names(), ElementsAre("checkpoint"));
}

TEST_F(NewFileTest, APipeCannotBeReplaced) {
  const auto pipe = make_pipe("pipe");
  EXPECT_EQ(NewFile::create(pipe).status().message(), quoted(pipe) + " is a pipe, expected a file");
  EXPECT_THAT(NewFile::create(folder_ / "none" / "file").status().message(),
              StartsWith(std::string("cannot create '").append((folder_ / "none" / "file.tmp").string())));
}

}  // namespace
}  // namespace gradstab::lab
