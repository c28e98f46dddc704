#include "lab/support/folder_lock.hpp"

#include <fcntl.h>
#include <fmt/chrono.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <ctime>

#include "lab/support/file_lock.hpp"
#include "lab/support/files.hpp"

namespace gradstab::lab {
namespace {

/// A longer record was not written here.
constexpr std::size_t kMostRecordBytes = 400;

std::string host_name() {
  std::array<char, 256> name{};
  return ::gethostname(name.data(), name.size() - 1) == 0 ? name.data() : "an unknown host";
}

std::string who_we_are() {
  return fmt::format("process {} on {}, since {:%Y-%m-%d %H:%M:%S} UTC", ::getpid(), host_name(),
                     fmt::gmtime(std::time(nullptr)));
}

/// The one line that the holder of the lock has written.
std::string who_holds(const std::filesystem::path& file) {
  const auto record = read_end_of_file(file, kMostRecordBytes);
  const std::string line = record ? record->substr(0, record->find('\n')) : std::string();
  return line.starts_with("process ") ? line : "a process that has not written its name";
}

Status write_record(const Descriptor& file, const std::filesystem::path& path) {
  if (::ftruncate(file.number(), 0) != 0) return io_error("write", path, errno);
  return write_all(file, path, who_we_are() + "\n");
}

/// Whether the file is still the one that others will lock.
bool is_named(const std::filesystem::path& path, const Descriptor& file) {
  struct stat named {};
  struct stat open {};
  return ::stat(path.c_str(), &named) == 0 && ::fstat(file.number(), &open) == 0 &&
         named.st_dev == open.st_dev && named.st_ino == open.st_ino;
}

}  // namespace

Result<FolderLock> FolderLock::acquire(const std::filesystem::path& folder, HeldBy held_by,
                                       std::string_view busy) {
  const std::filesystem::path path = folder / kLockFile;
  for (;;) {
    auto file = open_for_appending(path);
    if (!file) return file.status();
    switch (try_lock(file->number())) {
      case LockOutcome::busy:
        return Status(StatusCode::failed_precondition, fmt::format("{}: {}", busy, who_holds(path)));
      case LockOutcome::failed:
        return io_error("lock", path, errno);
      case LockOutcome::unsupported:
        return FolderLock(*std::move(file),
                          fmt::format("the file system of '{}' has no locks: make sure that no other process "
                                      "writes there",
                                      folder.string()));
      case LockOutcome::taken:
        break;
    }
    if (!is_named(path, *file)) continue;  // its folder was replaced meanwhile
    GRADSTAB_RETURN_IF_ERROR(write_record(*file, path));
    if (held_by == HeldBy::and_what_it_starts) ::fcntl(file->number(), F_SETFD, 0);
    return FolderLock(*std::move(file), {});
  }
}

FolderLock::~FolderLock() = default;

std::optional<bool> is_at_work(const std::filesystem::path& folder) {
  const auto file = open_file(folder / kLockFile);
  if (!file) return std::nullopt;
  switch (query_lock(file->number())) {
    case LockQuery::held:
      return true;
    case LockQuery::free:
      return false;
    case LockQuery::unsupported:
    case LockQuery::failed:
      return std::nullopt;
  }
  return std::nullopt;
}

}  // namespace gradstab::lab
