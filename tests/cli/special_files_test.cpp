// Names that are no files: written to as they are, never replaced, never waited for when read.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>
#include <zlib.h>

#include <chrono>
#include <thread>

#include "program.hpp"

namespace gradstab::testing_cli {
namespace {

using testing::AllOf;
using testing::HasSubstr;

namespace fs = std::filesystem;

class SpecialFilesTest : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    folder_ = new Folder;
    const Outcome outcome = folder_->run(Folder::train("run", {"--steps", "3"}));
    ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  }
  static void TearDownTestSuite() { delete std::exchange(folder_, nullptr); }

  static fs::path at(const fs::path& name) { return folder_->path() / name; }

  /// A run whose file `name` is what `put` makes of that path.
  static void with_run(const std::string& name, const std::function<void(const fs::path&)>& put) {
    fs::remove_all(at("odd"));
    fs::copy(at("run"), at("odd"));
    fs::remove(at("odd") / "summary.json");  // a run that can be resumed
    fs::remove(at("odd") / name);
    put(at("odd") / name);
  }
  /// Ends at once, with this message.
  static void expect_refused(const std::vector<std::string>& arguments,
                             const testing::Matcher<std::string>& message) {
    Child child(arguments, folder_->path());
    const bool ended = wait_until([&] { return !child.running(); });
    EXPECT_TRUE(ended) << "still waiting or reading after a minute";
    if (!ended) return;
    const Outcome outcome = child.wait();
    EXPECT_EQ(outcome.exit_code, 1) << outcome.err;
    EXPECT_THAT(outcome.err, message);
  }
  static void make_pipe(const fs::path& path) { ASSERT_EQ(mkfifo(path.c_str(), 0600), 0); }
  static void link_to_zeros(const fs::path& path) { fs::create_symlink("/dev/zero", path); }
  static void make_large(const fs::path& path) {
    write(path, "{");
    fs::resize_file(path, std::uintmax_t{3} << 40);
  }

  static Folder* folder_;
};
Folder* SpecialFilesTest::folder_ = nullptr;

TEST_F(SpecialFilesTest, NoPartOfARunIsReadUnlessItIsAFile) {
  for (const char* name : {"run.json", "metrics.jsonl", "summary.json"}) {
    with_run(name, make_pipe);
    expect_refused({"report", "odd", "-o", "odd.html"},
                   HasSubstr(std::string(name) + "' is a pipe, expected a file"));
    with_run(name, link_to_zeros);
    expect_refused({"report", "odd", "-o", "odd.html"},
                   HasSubstr(std::string(name) + "' is a device, expected a file"));
    with_run(name, make_large);
    expect_refused(
        {"report", "odd", "-o", "odd.html"},
        AllOf(HasSubstr(std::string(name) + "' has 3.0 TiB, expected "), HasSubstr(" of at most ")));
  }
  for (const char* name : {"run.json", "metrics.jsonl", "checkpoint.gsck"}) {
    with_run(name, make_pipe);
    expect_refused({"train", "llm", "--resume", "odd"},
                   HasSubstr(std::string(name) + "' is a pipe, expected a file"));
    with_run(name, link_to_zeros);
    expect_refused({"train", "llm", "--resume", "odd"},
                   HasSubstr(std::string(name) + "' is a device, expected a file"));
    with_run(name, make_large);
    expect_refused({"train", "llm", "--resume", "odd"}, HasSubstr(std::string(name) + "' has 3.0 TiB, "));
  }
  EXPECT_FALSE(fs::exists(at("odd.html")));
}

TEST_F(SpecialFilesTest, NothingElseIsReadUnlessItIsAFile) {
  make_pipe(at("pipe"));
  make_large(at("large"));
  const std::vector<std::vector<std::string>> readers = {
      {"replay", "--output", "out.json", "--input"},
      {"reproduce", "figure-7", "--output", "judged", "--records"},
      {"data", "--tokenizer", "bytes"},
      {"train", "llm", "--output", "other", "--data"}};
  for (auto reader : readers) {
    reader.emplace_back("pipe");
    const bool is_corpus = reader[0] == "data" || reader[0] == "train";
    expect_refused(
        reader, HasSubstr(is_corpus ? "pipe' is not a regular file" : "'pipe' is a pipe, expected a file"));
    reader.back() = "/dev/zero";
    expect_refused(reader, HasSubstr(is_corpus ? "'/dev/zero' is not a regular file"
                                               : "'/dev/zero' is a device, expected a file"));
    if (is_corpus) continue;  // of any size
    reader.back() = "large";
    expect_refused(reader, HasSubstr("'large' has 3.0 TiB, expected "));
  }
  fs::remove(at("pipe"));
}

TEST_F(SpecialFilesTest, PackedRecordsThatGrowAThousandfoldAreRefused) {
  const std::string zeros(1 << 24, '0');
  {
    gzFile file = gzopen(at("one.gz").c_str(), "wb9");
    gzwrite(file, zeros.data(), static_cast<unsigned>(zeros.size()));
    gzclose(file);
  }
  const std::string member = read(at("one.gz"));
  std::string bomb;
  for (int i = 0; i < 64; ++i) bomb += member;  // 1 GiB
  write(at("bomb.gz"), bomb);
  const auto begin = std::chrono::steady_clock::now();
  expect_refused({"reproduce", "figure-7", "--records", "bomb.gz", "--output", "judged"},
                 HasSubstr("'bomb.gz' unpacks to more than 256.0 MiB, the limit for it"));
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(30));
  EXPECT_FALSE(fs::exists(at("judged")));
}

TEST_F(SpecialFilesTest, APageGoesThroughAPipe) {
  make_pipe(at("page"));
  std::string page;
  std::thread reader([&] { page = read(at("page")); });
  const Outcome outcome = folder_->run({"report", "run", "-o", "page"});
  reader.join();
  EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_THAT(page, AllOf(HasSubstr("<!DOCTYPE html>"), testing::EndsWith("</html>\n")));
  EXPECT_TRUE(fs::is_fifo(at("page")));
  fs::remove(at("page"));
}

TEST_F(SpecialFilesTest, ADeviceStaysOne) {
  // Of the test's own, and a link to it: the machine's are not put at risk.
  const auto null = at("null");
  if (mknod(null.c_str(), S_IFCHR | 0600, makedev(1, 3)) != 0)
    GTEST_SKIP() << "this user may make no devices";
  if (const int opened = open(null.c_str(), O_WRONLY); opened < 0)
    GTEST_SKIP() << "no devices on this file system";
  else
    close(opened);
  fs::create_symlink("null", at("link"));
  for (const char* name : {"null", "link"}) {
    for (const auto& command :
         std::vector<std::vector<std::string>>{{"report", "run", "-o", name}, {"bounds", "--html", name}}) {
      const Outcome outcome = folder_->run(command);
      EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
      EXPECT_TRUE(fs::is_character_file(null)) << command[0];
      EXPECT_TRUE(fs::is_symlink(at("link"))) << command[0];
    }
  }
}

TEST_F(SpecialFilesTest, ALinkIsFollowed) {
  fs::create_directory(at("pages"));
  fs::create_symlink("pages/made.html", at("made.html"));
  const Outcome outcome = folder_->run({"report", "run", "-o", "made.html"});
  EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_TRUE(fs::is_symlink(at("made.html")));
  EXPECT_THAT(read(at("pages") / "made.html"), HasSubstr("<!DOCTYPE html>"));
}

TEST_F(SpecialFilesTest, APageOnStandardOutputIsFollowedByTheTable) {
  const Outcome outcome = folder_->run({"report", "run", "-o", "/dev/stdout"});
  EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_THAT(outcome.out, AllOf(HasSubstr("<!DOCTYPE html>"), HasSubstr("validation loss"),
                                 HasSubstr("report   /dev/stdout")));
  EXPECT_TRUE(fs::exists("/dev/stdout"));
}

TEST_F(SpecialFilesTest, AnExistingFileIsReplacedOnlyWithForce) {
  write(at("mine.html"), "mine");
  expect_refused(
      {"report", "run", "-o", "mine.html"},
      HasSubstr("'mine.html' already exists; choose another --output, or replace it with --force"));
  EXPECT_EQ(read(at("mine.html")), "mine");
  EXPECT_EQ(folder_->run({"report", "run", "-o", "mine.html", "--force"}).exit_code, 0);
  EXPECT_THAT(read(at("mine.html")), HasSubstr("<!DOCTYPE html>"));
}

TEST_F(SpecialFilesTest, ANameIsNotEmpty) {
  const auto before = std::distance(fs::directory_iterator(at("")), fs::directory_iterator());
  const std::vector<std::vector<std::string>> commands = {
      {"sweep", "llm", "--over", "seed=0..1", "--output", ""},
      {"train", "llm", "--output", ""},
      {"train", "llm", "--resume", ""},
      {"report", "run", "--output", ""},
      {"replay", "--input", "", "--output", "x"},
      {"replay", "--input", "corpus.txt", "--output", ""},
      {"reproduce", "figure-7", "--output", ""},
      {"reproduce", "figure-7", "--data", ""},
      {"reproduce", "figure-7", "--records", ""},
      {"bounds", "--html", ""}};
  int messages = 0;
  for (const auto& command : commands) {
    const Outcome outcome = folder_->run(command);
    messages += 2;
    EXPECT_EQ(outcome.exit_code, 2) << command[0];
    EXPECT_THAT(outcome.err, HasSubstr(": expects the name of a file or a folder, got ''")) << command[0];
  }
  EXPECT_EQ(std::distance(fs::directory_iterator(at("")), fs::directory_iterator()), before + messages)
      << "nothing but what the test itself has kept of their output";
}

}  // namespace
}  // namespace gradstab::testing_cli
