// A folder's lock keeps others out, says who has it, and ends with whoever has it.
#include "lab/support/folder_lock.hpp"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>

#include <array>
#include <optional>

#include "test_folder.hpp"

namespace gradstab::lab {
namespace {

using HeldBy = FolderLock::HeldBy;
using ::testing::MatchesRegex;

class FolderLockTest : public FolderTest {
 protected:
  Result<FolderLock> acquire(HeldBy held_by = HeldBy::this_process) const {
    return FolderLock::acquire(folder_, held_by, "somebody is at work");
  }
  /// A process that has the lock until it is killed.
  pid_t start_holder() const {
    const pid_t holder = ::fork();
    if (holder == 0) {
      const auto lock = acquire();
      make(lock ? "locked" : "refused");
      for (;;) ::pause();
    }
    EXPECT_TRUE(wait_until([&] { return std::filesystem::exists(folder_ / "locked"); }));
    return holder;
  }
  static void end(pid_t process) {
    ::kill(process, SIGKILL);
    ::waitpid(process, nullptr, 0);
  }
  /// A process that was started, as runs are, while `lock` is held.
  static pid_t start_program() {
    const pid_t program = ::fork();
    if (program == 0) {
      ::execl("/bin/sleep", "sleep", "60", nullptr);
      ::_exit(127);
    }
    // Until then it has even what is closed by exec.
    const std::string exe = "/proc/" + std::to_string(program) + "/exe";
    EXPECT_TRUE(wait_until([&] {
      std::error_code ignored;
      const auto self = std::filesystem::read_symlink("/proc/self/exe", ignored);
      return std::filesystem::read_symlink(exe, ignored) != self;
    }));
    return program;
  }
};

TEST_F(FolderLockTest, ASecondProcessIsRefusedAndToldAboutTheFirst) {
  const pid_t holder = start_holder();
  const auto refused = acquire();
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.status().code(), StatusCode::failed_precondition);
  std::array<char, 256> host{};
  ASSERT_EQ(::gethostname(host.data(), host.size() - 1), 0);
  EXPECT_THAT(refused.status().message(),
              MatchesRegex("somebody is at work: process " + std::to_string(holder) + " on " + host.data() +
                           ", since 20[0-9][0-9]-[01][0-9]-[0-3][0-9] [0-2][0-9]:[0-5][0-9]:[0-6][0-9] UTC"));
  end(holder);
  EXPECT_TRUE(acquire().ok()) << "it ends with the process, however that ends";
}

TEST_F(FolderLockTest, TwoHandlesOfOneProcessKeepEachOtherOut) {
  std::optional<FolderLock> first = acquire().value();
  EXPECT_FALSE(acquire());
  EXPECT_EQ(first->warning(), "");
  first.reset();
  EXPECT_TRUE(acquire().ok());
}

TEST_F(FolderLockTest, ReadingTheLockFileDoesNotEndIt) {
  // The older locks of fcntl end when their process closes any descriptor of the file.
  const auto lock = acquire().value();
  EXPECT_NE(content(folder_ / kLockFile), "");
  EXPECT_FALSE(acquire());
}

TEST_F(FolderLockTest, StartedProgramsHoldItOnlyWhereTheyShall) {
  std::optional<FolderLock> lock = acquire(HeldBy::this_process).value();
  const pid_t outsider = start_program();
  lock.reset();
  lock = acquire(HeldBy::and_what_it_starts).value();
  const pid_t heir = start_program();
  lock.reset();
  EXPECT_FALSE(acquire()) << "a program that it started still works there";
  end(heir);
  EXPECT_TRUE(acquire().ok());
  end(outsider);
}

TEST_F(FolderLockTest, AskingWhetherSomebodyIsAtWorkChangesNothing) {
  EXPECT_EQ(is_at_work(folder_), std::nullopt);
  EXPECT_EQ(names(), std::vector<std::string>());
  const pid_t holder = start_holder();
  for (int i = 0; i < 3; ++i) EXPECT_EQ(is_at_work(folder_), true);
  EXPECT_FALSE(acquire().ok());
  end(holder);
  EXPECT_EQ(is_at_work(folder_), false);
  {
    const auto lock = acquire();  // nobody who asked keeps it
    ASSERT_TRUE(lock.ok());
    EXPECT_EQ(is_at_work(folder_), true);
  }
  EXPECT_EQ(is_at_work(folder_), false);
  // Who may only read can ask, too.
  std::filesystem::permissions(folder_ / ".lock", std::filesystem::perms::owner_read);
  EXPECT_EQ(is_at_work(folder_), false);
  std::filesystem::remove(folder_ / ".lock");
  make_pipe(".lock");
  EXPECT_EQ(is_at_work(folder_), std::nullopt);
}

TEST_F(FolderLockTest, ARecordThatIsNoneIsNotRepeated) {
  const pid_t holder = start_holder();
  make(".lock", "\x1b[31m what is this\n");
  EXPECT_EQ(acquire().status().message(), "somebody is at work: a process that has not written its name");
  end(holder);
}

TEST_F(FolderLockTest, WhatCannotBeLockedIsNamed) {
  EXPECT_EQ(FolderLock::acquire(folder_ / "none", HeldBy::this_process, "busy").status().message(),
            "cannot write " + quoted(folder_ / "none" / ".lock") + ": No such file or directory");
  make_pipe(".lock");
  EXPECT_EQ(acquire().status().message(), quoted(folder_ / ".lock") + " is a pipe, expected a file");
}

}  // namespace
}  // namespace gradstab::lab
