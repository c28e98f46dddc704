// State files: replaced as a whole or not at all, and what the operating system may refuse.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <thread>
#include <utility>

#include "support.hpp"

namespace gradstab::testing {
namespace {

namespace fs = std::filesystem;

std::vector<unsigned char> bytes_of(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  EXPECT_TRUE(file.good()) << path;
  return {std::istreambuf_iterator<char>(file), {}};
}

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

/// Permissions mean something to the rest of the test: root is nobody while it lives.
class OrdinaryUser {
 public:
  OrdinaryUser() : root_(geteuid() == 0) {
    if (root_ && seteuid(65534) != 0) ADD_FAILURE() << "root cannot become nobody";
  }
  ~OrdinaryUser() {
    if (root_ && seteuid(0) != 0) std::abort();
  }
  OrdinaryUser(const OrdinaryUser&) = delete;
  OrdinaryUser& operator=(const OrdinaryUser&) = delete;

 private:
  bool root_;
};

/// As messages name it.
std::string quoted(const fs::path& path) {
  return std::string("'").append(path.string()).append("'");
}

class CFileTest : public ::testing::Test {
 protected:
  CFileTest() {
    std::string name = (fs::temp_directory_path() / "gradstab_c_abi_XXXXXX").string();
    folder_ = mkdtemp(name.data());
    path_ = folder_ / "state.gradstab";
  }
  ~CFileTest() override {
    fs::permissions(folder_, fs::perms::owner_all);
    fs::remove_all(folder_);
  }

  void SetUp() override {
    train(source_.get(), 5);
    train(target_.get(), 2);
  }

  std::vector<std::string> names() const {
    std::vector<std::string> list;
    for (const auto& entry : fs::directory_iterator(folder_)) list.push_back(entry.path().filename());
    std::sort(list.begin(), list.end());
    return list;
  }

  gradstab_status save(const fs::path& path) { return gradstab_save_file(source_.get(), path.c_str()); }

  /// Loading fails with this message and leaves the state.
  void expect_not_loaded(const fs::path& path, gradstab_status status, const std::string& message) {
    const auto before = saved(target_.get());
    EXPECT_TRUE(refused(gradstab_load_file(target_.get(), path.c_str()), status, target_.get(), message));
    EXPECT_EQ(saved(target_.get()), before);
  }

  fs::path folder_;
  fs::path path_;
  const Handle source_ = initialised();
  const Handle target_ = initialised();
};

TEST_F(CFileTest, HoldsTheBytesOfSaveAndIsLoadedAgain) {
  ASSERT_TRUE(accepted(save(path_), source_.get()));
  EXPECT_EQ(bytes_of(path_), saved(source_.get()));
  EXPECT_EQ(names(), std::vector<std::string>{"state.gradstab"});
  ASSERT_TRUE(accepted(gradstab_load_file(target_.get(), path_.c_str()), target_.get()));
  EXPECT_EQ(saved(target_.get()), saved(source_.get()));
}

TEST_F(CFileTest, IsReplacedAndKeepsItsPermissions) {
  std::ofstream(path_) << "what was here before, and longer than a state: " << std::string(100000, 'x');
  ASSERT_EQ(chmod(path_.c_str(), 0640), 0);
  ASSERT_TRUE(accepted(save(path_), source_.get()));
  EXPECT_EQ(bytes_of(path_), saved(source_.get()));
  EXPECT_EQ(fs::status(path_).permissions(), fs::perms(0640));
  EXPECT_EQ(names(), std::vector<std::string>{"state.gradstab"});
}

TEST_F(CFileTest, IsReplacedWhereASymbolicLinkPoints) {
  fs::create_directory(folder_ / "elsewhere");
  std::ofstream(folder_ / "elsewhere" / "real") << "old";
  fs::create_symlink(fs::path("elsewhere") / "real", path_);
  ASSERT_TRUE(accepted(save(path_), source_.get()));
  EXPECT_TRUE(fs::is_symlink(path_));
  EXPECT_EQ(bytes_of(folder_ / "elsewhere" / "real"), saved(source_.get()));
}

TEST_F(CFileTest, MayBeAPipe) {
  ASSERT_EQ(mkfifo(path_.c_str(), 0600), 0);
  gradstab_status written = -1;
  std::thread writer([&] { written = save(path_); });
  EXPECT_TRUE(accepted(gradstab_load_file(target_.get(), path_.c_str()), target_.get()));
  writer.join();
  EXPECT_EQ(written, GRADSTAB_OK);
  EXPECT_EQ(saved(target_.get()), saved(source_.get()));
  EXPECT_TRUE(fs::is_fifo(path_));
}

TEST_F(CFileTest, IsMadeWhereADanglingLinkPoints) {
  fs::create_directory(folder_ / "elsewhere");
  fs::create_symlink(fs::path("elsewhere") / "real", folder_ / "second");
  fs::create_symlink("second", path_);
  ASSERT_TRUE(accepted(save(path_), source_.get()));
  EXPECT_TRUE(fs::is_symlink(path_));
  EXPECT_EQ(bytes_of(folder_ / "elsewhere" / "real"), saved(source_.get()));
  fs::create_symlink("circle", folder_ / "circle");
  EXPECT_TRUE(refused(save(folder_ / "circle"), GRADSTAB_IO_ERROR, source_.get(),
                      "cannot write " + quoted(folder_ / "circle") + ": Too many levels of symbolic links"));
}

TEST_F(CFileTest, MayBeAnOpenFileOfTheProgram) {
  // What /dev/stdout is after `> file`: another file under that name would lose what the program prints
  // later.
  std::ofstream(path_).close();
  const int output = open(path_.c_str(), O_WRONLY);
  fs::create_symlink("/proc/self/fd/" + std::to_string(output), folder_ / "stdout");
  ASSERT_TRUE(accepted(save(folder_ / "stdout"), source_.get()));
  ASSERT_EQ(write(output, "later", 5), 5);
  close(output);
  auto expected = saved(source_.get());
  for (const char letter : {'l', 'a', 't', 'e', 'r'}) expected.push_back(static_cast<unsigned char>(letter));
  EXPECT_EQ(bytes_of(path_), expected);
}

TEST_F(CFileTest, WhatAKilledWriterLeftIsRemovedByTheNextOne) {
  const std::string name = path_.filename();
  for (const char* end : {".tmp1.0", ".tmp123456.78"}) std::ofstream(path_.string() + end) << "cut off";
  std::vector<std::string> kept = {"other.tmp1.0", name + ".tmp", name + ".tmp1", name + ".tmp1.",
                                   name + ".tmp1.x"};
  for (const std::string& other : kept) std::ofstream(folder_ / other) << "no temporary file of this name";
  const std::string living = path_.string() + ".tmp2.0";
  std::ofstream(living) << "is being written";
  const int writer = open(living.c_str(), O_WRONLY);
  ASSERT_EQ(flock(writer, LOCK_EX), 0);

  ASSERT_TRUE(accepted(save(path_), source_.get()));
  kept.insert(kept.end(), {name, name + ".tmp2.0"});
  std::sort(kept.begin(), kept.end());
  EXPECT_EQ(names(), kept);
  close(writer);
}

TEST_F(CFileTest, ADeviceIsNotRead) {
  expect_not_loaded("/dev/zero", GRADSTAB_IO_ERROR,
                    "'/dev/zero' is a device or a socket, expected a file or a pipe");
}

TEST_F(CFileTest, APipeThatDoesNotEndIsNotReadForEver) {
  const auto state = saved(source_.get());
  void (*const before)(int) = std::signal(SIGPIPE, SIG_IGN);
  // What is no state, and a state with something behind it.
  const std::vector<std::pair<std::vector<unsigned char>, std::string>> streams = {
      {{'y', '\n'}, "not a gradstab state: it does not begin with 'GRADSTAB'"},
      {state, "state is truncated or padded: " + std::to_string(state.size() - 23) +
                  " bytes follow the header, expected " + std::to_string(state.size() - 24)}};
  for (const auto& [bytes, message] : streams) {
    fs::remove(path_);
    ASSERT_EQ(mkfifo(path_.c_str(), 0600), 0);
    std::thread writer([&, piece = bytes] {
      const int pipe = open(path_.c_str(), O_WRONLY);
      while (write(pipe, piece.data(), piece.size()) >= 0) {
      }
      EXPECT_EQ(errno, EPIPE);
      close(pipe);
    });
    expect_not_loaded(path_, GRADSTAB_CORRUPT_DATA, quoted(path_) + ": " + message);
    writer.join();
  }
  std::signal(SIGPIPE, before);
}

TEST_F(CFileTest, AFileThatIsLargerThanTheMemoryIsRefused) {
  std::ofstream(path_, std::ios::binary)
      .write(reinterpret_cast<const char*>(saved(source_.get()).data()), 24);  // the header of a state
  const auto memory = static_cast<std::uintmax_t>(sysconf(_SC_PHYS_PAGES)) *
                      static_cast<std::uintmax_t>(sysconf(_SC_PAGESIZE));
  fs::resize_file(path_, memory + 1);
  expect_not_loaded(path_, GRADSTAB_CORRUPT_DATA,
                    quoted(path_) + " has " + std::to_string(memory + 1) +
                        " bytes, which is more than this machine's memory of " + std::to_string(memory));
}

TEST_F(CFileTest, ManyWritersLeaveOneWholeFile) {
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([this, i] {
      const Handle own = initialised();
      train(own.get(), i + 1);
      for (int times = 0; times < 10; ++times)
        EXPECT_TRUE(accepted(gradstab_save_file(own.get(), path_.c_str()), own.get()));
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_TRUE(accepted(gradstab_load_file(target_.get(), path_.c_str()), target_.get()));
  EXPECT_EQ(names(), std::vector<std::string>{"state.gradstab"});
}

TEST_F(CFileTest, NoNameIsAnError) {
  EXPECT_TRUE(refused(gradstab_save_file(source_.get(), nullptr), GRADSTAB_INVALID_ARGUMENT, source_.get(),
                      "path is NULL, expected the name of a file"));
  EXPECT_TRUE(refused(gradstab_load_file(target_.get(), nullptr), GRADSTAB_INVALID_ARGUMENT, target_.get(),
                      "path is NULL, expected the name of a file"));
  EXPECT_EQ(gradstab_save_file(source_.get(), ""), GRADSTAB_IO_ERROR);
  EXPECT_EQ(gradstab_load_file(target_.get(), ""), GRADSTAB_IO_ERROR);
}

TEST_F(CFileTest, AFileThatIsNotThereIsNamed) {
  expect_not_loaded(path_, GRADSTAB_IO_ERROR,
                    "cannot open '" + path_.string() + "': No such file or directory");
  expect_not_loaded(folder_, GRADSTAB_IO_ERROR, "cannot read '" + folder_.string() + "': Is a directory");
}

TEST_F(CFileTest, AFolderThatIsNotThereOrCannotBeWrittenIsNamed) {
  const auto starts_with = [this](const std::string& text) {
    const std::string message = gradstab_last_error(source_.get());
    return message.rfind(text, 0) == 0 ? ::testing::AssertionSuccess()
                                       : ::testing::AssertionFailure() << message;
  };
  const std::string missing = (folder_ / "none" / "state").string();
  EXPECT_EQ(save(missing), GRADSTAB_IO_ERROR);
  EXPECT_TRUE(starts_with("cannot create '" + missing + ".tmp"));
  EXPECT_TRUE(refused(save(folder_), GRADSTAB_IO_ERROR, source_.get(),
                      "cannot open '" + folder_.string() + "': Is a directory"));

  std::ofstream(path_) << "old";
  fs::permissions(folder_, fs::perms(0555));
  {
    const OrdinaryUser nobody;
    EXPECT_EQ(save(path_), GRADSTAB_IO_ERROR);
  }
  EXPECT_TRUE(starts_with("cannot create '" + path_.string() + ".tmp"));
  EXPECT_NE(std::string(gradstab_last_error(source_.get())).find("Permission denied"), std::string::npos);
  EXPECT_EQ(bytes_of(path_), (std::vector<unsigned char>{'o', 'l', 'd'}));
}

TEST_F(CFileTest, AFullDiskLeavesTheOldFileAndNothingElse) {
  ASSERT_TRUE(accepted(gradstab_save_file(target_.get(), path_.c_str()), target_.get()));
  const auto old = bytes_of(path_);
  {
    const FileSizeLimit limit(100);
    EXPECT_TRUE(refused(save(path_), GRADSTAB_IO_ERROR, source_.get(),
                        "cannot write '" + path_.string() + "': File too large"));
    EXPECT_TRUE(refused(save(folder_ / "new"), GRADSTAB_IO_ERROR, source_.get(),
                        "cannot write '" + (folder_ / "new").string() + "': File too large"));
  }
  EXPECT_EQ(bytes_of(path_), old);
  EXPECT_EQ(names(), std::vector<std::string>{"state.gradstab"});
  EXPECT_TRUE(accepted(save(path_), source_.get())) << "with room again";
}

TEST_F(CFileTest, AFullDeviceIsAnErrorAndADeviceStaysOne) {
  EXPECT_TRUE(refused(save("/dev/full"), GRADSTAB_IO_ERROR, source_.get(),
                      "cannot write '/dev/full': No space left on device"));
  EXPECT_TRUE(accepted(save("/dev/null"), source_.get()));
  EXPECT_TRUE(fs::is_character_file("/dev/full"));
  EXPECT_TRUE(fs::is_character_file("/dev/null"));
}

TEST_F(CFileTest, DamagedTruncatedForeignAndNewerFilesAreNamedAndLeaveTheState) {
  const auto state = saved(source_.get());
  ASSERT_GT(state.size(), 25u);
  const std::string name = std::string("'").append(path_.string()).append("': ");
  const auto write = [this](std::vector<unsigned char> bytes) {
    std::ofstream(path_, std::ios::binary)
        .write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
  };
  write(flipped(state, state.size() - 1, 0));
  expect_not_loaded(path_, GRADSTAB_CORRUPT_DATA,
                    name + "state is damaged: its checksum does not match its content");
  write({state.begin(), state.end() - 1});
  expect_not_loaded(path_, GRADSTAB_CORRUPT_DATA,
                    name + "state is truncated or padded: " + std::to_string(state.size() - 25) +
                        " bytes follow the header, expected " + std::to_string(state.size() - 24));
  write({});
  expect_not_loaded(path_, GRADSTAB_CORRUPT_DATA,
                    name + "not a gradstab state: it does not begin with 'GRADSTAB'");
  auto newer = state;
  newer[8] = 250;
  write(newer);
  expect_not_loaded(
      path_, GRADSTAB_VERSION_MISMATCH,
      name + "state has format version 250, this library reads version " + std::to_string(state[8]));
}

}  // namespace
}  // namespace gradstab::testing
