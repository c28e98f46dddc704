// What is read and what is not, and what becomes of a name that is written to.
#include "lab/support/files.hpp"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/sysmacros.h>
#include <sys/un.h>

#include <csignal>
#include <utility>

#include "test_folder.hpp"

namespace gradstab::lab {
namespace {

using ::testing::ElementsAre;
using ::testing::EndsWith;
using ::testing::HasSubstr;

constexpr FileKind kSmall{"a small file", 10};
constexpr FileKind kAny{"any file", UINTMAX_MAX};

/// No file grows beyond this while it lives: a write fails in its middle, as on a full disk.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(rlim_t bytes) {
    getrlimit(RLIMIT_FSIZE, &before_);
    handler_ = std::signal(SIGXFSZ, SIG_IGN);
    const rlimit limit{bytes, before_.rlim_max};
    setrlimit(RLIMIT_FSIZE, &limit);
  }
  ~FileSizeLimit() {
    setrlimit(RLIMIT_FSIZE, &before_);
    std::signal(SIGXFSZ, handler_);
  }
  FileSizeLimit(const FileSizeLimit&) = delete;
  FileSizeLimit& operator=(const FileSizeLimit&) = delete;

 private:
  rlimit before_{};
  void (*handler_)(int) = nullptr;
};

class FilesTest : public FolderTest {
 protected:
  static std::string refusal(const std::filesystem::path& path, const FileKind& kind = kAny) {
    const auto read = read_file(path, kind);
    EXPECT_FALSE(read) << path;
    EXPECT_FALSE(read_end_of_file(path, 10).ok() && read.status().code() == StatusCode::io_error) << path;
    return read.status().message();
  }

  /// A device of the test's own; empty where this user may make none. The machine's own are never written to.
  std::filesystem::path make_device(const std::string& name, unsigned major, unsigned minor) const {
    const std::filesystem::path path = folder_ / name;
    if (::mknod(path.c_str(), S_IFCHR | 0600, makedev(major, minor)) != 0) return {};
    const int opened = ::open(path.c_str(), O_WRONLY);
    if (opened < 0) return {};  // a file system without devices
    ::close(opened);
    return path;
  }
};

TEST_F(FilesTest, FilesAndLinksToFilesAreRead) {
  const auto file = make("file", std::string("a\0b\n", 4));
  std::filesystem::create_symlink("file", folder_ / "link");
  EXPECT_EQ(read_file(file, kSmall).value(), std::string("a\0b\n", 4));
  EXPECT_EQ(read_file(folder_ / "link", kSmall).value(), std::string("a\0b\n", 4));
  EXPECT_EQ(read_file(make("empty"), kSmall).value(), "");
  EXPECT_EQ(read_end_of_file(file, 3).value(), std::string("\0b\n", 3));
  EXPECT_EQ(read_end_of_file(file, 100).value(), std::string("a\0b\n", 4));
}

TEST_F(FilesTest, WhatIsNoFileIsRefusedAndNotWaitedFor) {
  const auto pipe = make_pipe("pipe");
  EXPECT_EQ(refusal(pipe), quoted(pipe) + " is a pipe, expected a file");
  EXPECT_EQ(refusal(folder_), quoted(folder_) + " is a folder, expected a file");
  EXPECT_EQ(refusal("/dev/zero"), "'/dev/zero' is a device, expected a file");
  std::filesystem::create_symlink("/dev/zero", folder_ / "link");
  EXPECT_EQ(refusal(folder_ / "link"), quoted(folder_ / "link") + " is a device, expected a file");

  const auto socket = folder_ / "socket";
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  ASSERT_LT(socket.string().size(), sizeof address.sun_path);
  socket.string().copy(address.sun_path, sizeof address.sun_path - 1);
  const Descriptor listening(::socket(AF_UNIX, SOCK_STREAM, 0));
  ASSERT_EQ(::bind(listening.number(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  EXPECT_EQ(refusal(socket), quoted(socket) + " is a socket, expected a file");

  EXPECT_EQ(refusal(folder_ / "none"),
            "cannot open " + quoted(folder_ / "none") + ": No such file or directory");
}

TEST_F(FilesTest, AFileIsNoLargerThanItsKind) {
  EXPECT_EQ(read_file(make("fits", "0123456789"), kSmall).value(), "0123456789");
  const auto large = make("large", "0123456789x");
  EXPECT_EQ(refusal(large, kSmall),
            quoted(large) + " has 11 bytes, expected a small file of at most 10 bytes");
  // What does not tell its size is counted.
  EXPECT_THAT(refusal("/proc/self/status", kSmall), HasSubstr("expected a small file of at most 10 bytes"));
  EXPECT_THAT(read_file("/proc/self/status", kSystemFile).value(), HasSubstr("Name:"));
}

TEST_F(FilesTest, AFileIsNoLargerThanTheMemory) {
  const auto memory = static_cast<std::uintmax_t>(::sysconf(_SC_PHYS_PAGES)) *
                      static_cast<std::uintmax_t>(::sysconf(_SC_PAGESIZE));
  const auto sparse = make("sparse");
  std::filesystem::resize_file(sparse, memory + 1);
  EXPECT_THAT(refusal(sparse), HasSubstr("which is more than this machine's memory of " + size_text(memory)));
  EXPECT_EQ(read_end_of_file(sparse, 2).value(), std::string(2, '\0')) << "the end can be read all the same";
}

TEST_F(FilesTest, SizesAreShown) {
  EXPECT_EQ(size_text(0), "0 bytes");
  EXPECT_EQ(size_text(1023), "1023 bytes");
  EXPECT_EQ(size_text(1536), "1.5 KiB");
  EXPECT_EQ(size_text(64 * kMiB), "64.0 MiB");
  EXPECT_EQ(size_text(UINTMAX_MAX), "16.0 EiB");
}

TEST_F(FilesTest, TheLimitsAreThoseOfTheDocument) {
  const std::string page = content(GRADSTAB_RUN_FORMAT_PAGE);
  const std::vector<std::pair<std::string, FileKind>> rows = {
      {"`run.json`, `summary.json`", kDescriptionFile},
      {"`metrics.jsonl`", kMetricsFile},
      {"`records.jsonl`, packed", kRecordsFile},
      {"a recording for `replay`", kRecordingFile},
      {"a picture for", kPictureFile},
      {"a table of pictures", kPictureTableFile},
      {"roll-outs for `rollout`", kRolloutFile},
      {"a model file for `rollout`", kModelFile},
      {"`checkpoint.gsck`", kCheckpointFile}};
  const std::size_t table = page.find("| file | at most |");
  ASSERT_NE(table, std::string::npos);
  for (const auto& [name, kind] : rows) {
    const std::size_t row = page.find("| " + name, table);
    ASSERT_NE(row, std::string::npos) << name;
    EXPECT_THAT(page.substr(row, page.find('\n', row) - row), HasSubstr("| " + size_text(kind.max_bytes)));
  }
}

TEST_F(FilesTest, AFileIsReplacedAsAWholeAndKeepsItsPermissions) {
  const auto path = make("page", std::string(100000, 'x'));
  ASSERT_EQ(::chmod(path.c_str(), 0640), 0);
  struct stat before {};
  ASSERT_EQ(::stat(path.c_str(), &before), 0);
  const std::string large(3 << 20, 'y');  // more than the buffer
  ASSERT_TRUE(write_file_atomically(path, large).ok());
  EXPECT_EQ(content(path), large);
  struct stat after {};
  ASSERT_EQ(::stat(path.c_str(), &after), 0);
  EXPECT_EQ(after.st_mode & 07777, 0640u);
  EXPECT_NE(after.st_ino, before.st_ino) << "whoever has opened the old one goes on reading it";
  EXPECT_THAT(names(), ElementsAre("page"));
}

TEST_F(FilesTest, ALinkIsFollowed) {
  std::filesystem::create_directory(folder_ / "elsewhere");
  std::ofstream(folder_ / "elsewhere" / "real") << "old";
  std::filesystem::create_symlink("real", folder_ / "elsewhere" / "second");
  std::filesystem::create_symlink("elsewhere/second", folder_ / "first");
  ASSERT_TRUE(write_file_atomically(folder_ / "first", "new").ok());
  EXPECT_TRUE(std::filesystem::is_symlink(folder_ / "first"));
  EXPECT_TRUE(std::filesystem::is_symlink(folder_ / "elsewhere" / "second"));
  EXPECT_EQ(content(folder_ / "elsewhere" / "real"), "new");

  // To what is not there yet, and in a circle.
  std::filesystem::create_symlink(folder_ / "elsewhere" / "made", folder_ / "dangling");
  ASSERT_TRUE(write_file_atomically(folder_ / "dangling", "made").ok());
  EXPECT_TRUE(std::filesystem::is_symlink(folder_ / "dangling"));
  EXPECT_EQ(content(folder_ / "elsewhere" / "made"), "made");
  std::filesystem::create_symlink("circle", folder_ / "circle");
  EXPECT_THAT(write_file_atomically(folder_ / "circle", "x").message(),
              EndsWith("circle': Too many levels of symbolic links"));
  EXPECT_THAT(names(), ElementsAre("circle", "dangling", "elsewhere", "first"));
}

TEST_F(FilesTest, APipeIsWrittenTo) {
  const auto pipe = make_pipe("pipe");
  std::filesystem::create_symlink("pipe", folder_ / "link");
  for (const char* name : {"pipe", "link"}) {
    std::string read;
    std::thread reader([&] { read = content(pipe); });
    EXPECT_TRUE(write_file_atomically(folder_ / name, "through").ok());
    reader.join();
    EXPECT_EQ(read, "through");
  }
  EXPECT_TRUE(std::filesystem::is_fifo(pipe));
  EXPECT_THAT(names(), ElementsAre("link", "pipe"));
}

TEST_F(FilesTest, ADeviceStaysOne) {
  const auto null = make_device("null", 1, 3);
  const auto full = make_device("full", 1, 7);
  if (null.empty() || full.empty()) GTEST_SKIP() << "this user may make no devices here";
  std::filesystem::create_symlink("null", folder_ / "link");
  EXPECT_TRUE(write_file_atomically(null, "gone").ok());
  EXPECT_TRUE(write_file_atomically(folder_ / "link", "gone").ok());
  EXPECT_EQ(write_file_atomically(full, "x").message(),
            "cannot write " + quoted(full) + ": No space left on device");
  EXPECT_TRUE(std::filesystem::is_character_file(null));
  EXPECT_TRUE(std::filesystem::is_character_file(full));
  EXPECT_TRUE(std::filesystem::is_symlink(folder_ / "link"));
  EXPECT_THAT(names(), ElementsAre("full", "link", "null"));
}

TEST_F(FilesTest, AnOpenFileOfThisProcessIsWrittenWhereItIs) {
  // What /dev/stdout is after `> file`: the name must not get another file, or the rest would be lost.
  const auto path = make("output");
  const Descriptor output(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
  const auto name = "/proc/self/fd/" + std::to_string(output.number());
  std::filesystem::create_symlink(name, folder_ / "stdout");
  for (const std::filesystem::path& given : {std::filesystem::path(name), folder_ / "stdout"}) {
    ASSERT_TRUE(write_file_atomically(given, "page\n").ok());
    ASSERT_TRUE(write_all(output, path, "table\n").ok());
  }
  EXPECT_EQ(content(path), "page\ntable\npage\ntable\n");
  EXPECT_THAT(names(), ElementsAre("output", "stdout"));
}

TEST_F(FilesTest, AFullDiskLeavesTheOldFileAndNothingElse) {
  const auto path = make("page", "old");
  {
    const FileSizeLimit limit(100);
    for (const char* name : {"page", "new"}) {
      EXPECT_EQ(write_file_atomically(folder_ / name, std::string(1000, 'x')).message(),
                "cannot write " + quoted(folder_ / name) + ": File too large");
    }
  }
  EXPECT_EQ(content(path), "old");
  EXPECT_THAT(names(), ElementsAre("page"));
  EXPECT_TRUE(write_file_atomically(path, "new").ok()) << "with room again";
}

TEST_F(FilesTest, WhatCannotBeWrittenIsNamed) {
  EXPECT_EQ(write_file_atomically(folder_, "x").message(),
            "cannot write " + quoted(folder_) + ": Is a directory");
  EXPECT_THAT(write_file_atomically(folder_ / "none" / "page", "x").message(),
              HasSubstr((folder_ / "none" / "page").string()));
  EXPECT_EQ(write_file_atomically("", "x").message(), "cannot write '': No such file or directory");
  EXPECT_THAT(names(), ElementsAre());
}

TEST_F(FilesTest, OnlyAFileIsAppendedTo) {
  const auto path = folder_ / "lines";
  for (const char* line : {"one\n", "two\n"}) {
    const auto file = open_for_appending(path).value();
    ASSERT_TRUE(write_all(file, path, line).ok());
  }
  EXPECT_EQ(content(path), "one\ntwo\n");
  const auto pipe = make_pipe("pipe");
  EXPECT_EQ(open_for_appending(pipe).status().message(), quoted(pipe) + " is a pipe, expected a file");
  EXPECT_EQ(open_for_appending(folder_ / "none" / "lines").status().message(),
            "cannot write " + quoted(folder_ / "none" / "lines") + ": No such file or directory");
}

}  // namespace
}  // namespace gradstab::lab
