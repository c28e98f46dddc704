// One process at a time works in a folder.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

#include "gradstab/status.hpp"
#include "lab/support/descriptor.hpp"

namespace gradstab::lab {

/// The file in the folder that is locked. It says who holds the lock, and stays when nobody does.
inline constexpr std::string_view kLockFile = ".lock";

/// Whether a process works in the folder, as its lock says. Nothing where there is no lock to ask. Changes
/// nothing in the folder.
std::optional<bool> is_at_work(const std::filesystem::path& folder);

/// The lock ends with the process that holds it, however that ends, and holds over NFS where the server has
/// locks (file_lock.hpp says how).
class FolderLock {
 public:
  /// Whose end the lock waits for.
  enum class HeldBy {
    this_process,        ///< alone
    and_what_it_starts,  ///< also the processes that it starts: they inherit the lock
  };

  /// Locks an existing folder. failed_precondition, with `busy` and the other process as its message, where
  /// another one holds the lock: "BUSY: process 12 on host, since 2026-11-30 16:20:01 UTC". io_error from the
  /// system.
  static Result<FolderLock> acquire(const std::filesystem::path& folder, HeldBy held_by,
                                    std::string_view busy);

  FolderLock(FolderLock&& other) noexcept = default;
  FolderLock& operator=(FolderLock&& other) noexcept = default;
  ~FolderLock();

  /// Empty; or, where the folder's file system has no locks, what its user must be told.
  const std::string& warning() const noexcept { return warning_; }

 private:
  FolderLock(Descriptor file, std::string warning) : file_(std::move(file)), warning_(std::move(warning)) {}

  Descriptor file_;
  std::string warning_;
};

}  // namespace gradstab::lab
