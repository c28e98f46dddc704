// A file system without locks, such as NFS without its lock service: everything works, and says what it
// cannot do.
#include <fcntl.h>
#include <sys/syscall.h>

#include <cerrno>
#include <cstdarg>

#include "lab/support/files.hpp"
#include "lab/support/folder_lock.hpp"
#include "lab/support/new_file.hpp"
#include "test_folder.hpp"

namespace {
bool has_locks = true;
}

/// In place of the C library's.
extern "C" int fcntl(int descriptor, int command, ...) {
  va_list list;
  va_start(list, command);
  void* const argument = va_arg(list, void*);
  va_end(list);
  if (command == F_OFD_SETLK && !has_locks) {
    errno = ENOLCK;
    return -1;
  }
  return static_cast<int>(::syscall(SYS_fcntl, descriptor, command, argument));
}

namespace gradstab::lab {
namespace {

class NoLocksTest : public FolderTest {
 protected:
  NoLocksTest() { has_locks = false; }
  ~NoLocksTest() override { has_locks = true; }
};

TEST_F(NoLocksTest, AFolderIsUsedAndItsUserWarned) {
  const auto acquire = [&] { return FolderLock::acquire(folder_, FolderLock::HeldBy::this_process, "busy"); };
  const auto first = acquire().value();
  const auto second = acquire().value();
  EXPECT_EQ(first.warning(), "the file system of " + quoted(folder_) +
                                 " has no locks: make sure that no other process writes there");
  has_locks = true;
  const auto locked = acquire().value();
  EXPECT_EQ(locked.warning(), "");
  EXPECT_FALSE(acquire());
}

TEST_F(NoLocksTest, FilesAreReplacedAndNothingIsTakenForAbandoned) {
  make("page.tmp1-1");
  ASSERT_TRUE(write_file_atomically(folder_ / "page", "new").ok());
  EXPECT_EQ(content(folder_ / "page"), "new");
  EXPECT_THAT(names(), ::testing::ElementsAre("page", "page.tmp1-1"));
  has_locks = true;
  remove_abandoned_files(folder_);
  EXPECT_THAT(names(), ::testing::ElementsAre("page"));
}

}  // namespace
}  // namespace gradstab::lab
