#include "lab/support/destination.hpp"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <string>
#include <system_error>

#include "lab/support/files.hpp"

namespace gradstab::lab {
namespace {

constexpr int kMostLinks = 40;  // as many as the kernel follows

/// A link there leads to an open file, whatever name it shows.
bool is_on_procfs(const std::filesystem::path& link) {
  struct statfs info {};
  const std::filesystem::path folder = link.has_parent_path() ? link.parent_path() : ".";
  return ::statfs(folder.c_str(), &info) == 0 && info.f_type == PROC_SUPER_MAGIC;
}

/// N of /proc/self/fd/N; -1 for anything else.
int own_descriptor(const std::filesystem::path& path) {
  std::error_code failure;
  const std::filesystem::path folder = std::filesystem::canonical(path.parent_path(), failure);
  if (failure || folder != "/proc/" + std::to_string(::getpid()) + "/fd") return -1;
  const std::string name = path.filename().string();
  int number = -1;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), number);
  return error == std::errc() && end == name.data() + name.size() ? number : -1;
}

}  // namespace

Result<Destination> destination_of(const std::filesystem::path& path) {
  if (path.empty()) return io_error("write", path, ENOENT);
  Destination destination{.given = path, .path = path};
  for (int links = 0; links <= kMostLinks; ++links) {
    struct stat info {};
    if (::lstat(destination.path.c_str(), &info) != 0) {
      if (errno == ENOENT || errno == ENOTDIR) return destination;
      return io_error("write", path, errno);
    }
    if (!S_ISLNK(info.st_mode)) {
      destination.exists = true;
      destination.mode = info.st_mode;
      return destination;
    }
    if (is_on_procfs(destination.path)) {
      destination.is_open_file = true;
      return destination;
    }
    std::error_code failure;
    const std::filesystem::path target = std::filesystem::read_symlink(destination.path, failure);
    if (failure) return io_error("write", path, failure.value());
    destination.path = destination.path.parent_path() / target;
  }
  return io_error("write", path, ELOOP);
}

Result<Descriptor> Destination::open() const {
  const int own = is_open_file ? own_descriptor(path) : -1;
  Descriptor file(own >= 0 ? ::fcntl(own, F_DUPFD_CLOEXEC, 0)
                           : ::open(path.c_str(), O_WRONLY | O_TRUNC | O_CLOEXEC | O_NOCTTY));
  if (!file.valid()) return io_error("write", given, errno);
  return file;
}

}  // namespace gradstab::lab
