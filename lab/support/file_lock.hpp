// Locks that the operating system takes back when their holder ends, however it ends.
#pragma once

namespace gradstab::lab {

enum class LockOutcome {
  taken,
  busy,         ///< somebody else has it
  unsupported,  ///< the file system has no locks
  failed,       ///< for another reason, in errno
};

/// Locks the file, which must be open for writing, without waiting. The lock belongs to the open file: it
/// ends when the last descriptor of it is closed, in this process and in those that have inherited it.
///
/// It is an open-file-description lock of fcntl (POSIX.1-2024). flock has the same life, but over NFS it is a
/// lock of another sort for the clients than for processes on the server itself; and the older locks of fcntl
/// end with any descriptor of the file and are not inherited.
LockOutcome try_lock(int descriptor) noexcept;

/// Whether another open file has the lock of try_lock. Asks only, and locks nothing; reading is enough.
enum class LockQuery { free, held, unsupported, failed };
LockQuery query_lock(int descriptor) noexcept;

}  // namespace gradstab::lab
