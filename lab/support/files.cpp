#include "lab/support/files.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <new>
#include <system_error>

#include "lab/support/destination.hpp"
#include "lab/support/new_file.hpp"

namespace gradstab::lab {
namespace {

/// Nothing here waits for the other end of a pipe, or becomes the terminal that Ctrl-C comes from.
constexpr int kOpenFlags = O_CLOEXEC | O_NONBLOCK | O_NOCTTY;

constexpr mode_t kNewFileMode = 0666;  // less the umask

std::string_view type_text(mode_t mode) {
  if (S_ISDIR(mode)) return "a folder";
  if (S_ISFIFO(mode)) return "a pipe";
  if (S_ISCHR(mode) || S_ISBLK(mode)) return "a device";
  if (S_ISSOCK(mode)) return "a socket";
  return "not a regular file";
}

/// Looks before it opens, since opening a device can do something, and after, since another file can have
/// taken the name.
Result<Descriptor> open_regular(const std::filesystem::path& path, int flags) {
  const bool may_make_it = (flags & O_CREAT) != 0;
  const char* const doing = may_make_it ? "write" : "open";
  struct stat info {};
  const bool exists = ::stat(path.c_str(), &info) == 0;
  if (!exists && !(errno == ENOENT && may_make_it)) return io_error(doing, path, errno);
  if (exists && !S_ISREG(info.st_mode)) return not_a_file(path, info.st_mode);
  Descriptor file(::open(path.c_str(), flags | kOpenFlags, kNewFileMode));
  if (!file.valid() || ::fstat(file.number(), &info) != 0) return io_error(doing, path, errno);
  if (!S_ISREG(info.st_mode)) return not_a_file(path, info.st_mode);
  return file;
}

std::uintmax_t memory_of_machine() {
  const long pages = ::sysconf(_SC_PHYS_PAGES);
  const long page = ::sysconf(_SC_PAGESIZE);
  return static_cast<std::uintmax_t>(std::max(pages, 0L)) * static_cast<std::uintmax_t>(std::max(page, 0L));
}

/// Whether so many bytes can be read.
Status check_size(const std::filesystem::path& path, std::uintmax_t bytes, const FileKind& kind) {
  if (bytes > kind.max_bytes) {
    return {StatusCode::corrupt_data, fmt::format("'{}' has {}, expected {} of at most {}", path.string(),
                                                  size_text(bytes), kind.name, size_text(kind.max_bytes))};
  }
  if (const std::uintmax_t memory = memory_of_machine(); bytes > memory) {
    return {StatusCode::corrupt_data,
            fmt::format("'{}' has {}, which is more than this machine's memory of {}", path.string(),
                        size_text(bytes), size_text(memory))};
  }
  return {};
}

}  // namespace

std::string system_error_text(int error_number) {
  return std::generic_category().message(error_number);
}

Status io_error(std::string_view doing, const std::filesystem::path& path, int error_number) {
  return {StatusCode::io_error,
          fmt::format("cannot {} '{}': {}", doing, path.string(), system_error_text(error_number))};
}

Status not_a_file(const std::filesystem::path& path, unsigned mode) {
  return {StatusCode::io_error, fmt::format("'{}' is {}, expected a file", path.string(), type_text(mode))};
}

std::string size_text(std::uintmax_t bytes) {
  constexpr std::array<std::string_view, 6> kUnits = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  if (bytes < 1024) return fmt::format("{} bytes", bytes);
  double value = static_cast<double>(bytes) / 1024.0;
  std::size_t unit = 0;
  for (; value >= 1024.0 && unit + 1 < kUnits.size(); ++unit) value /= 1024.0;
  return fmt::format("{:.1f} {}", value, kUnits[unit]);
}

Result<Descriptor> open_file(const std::filesystem::path& path) {
  return open_regular(path, O_RDONLY);
}

Result<Descriptor> open_for_appending(const std::filesystem::path& path) {
  return open_regular(path, O_WRONLY | O_CREAT | O_APPEND);
}

Result<std::string> read_file(const std::filesystem::path& path, const FileKind& kind) {
  const auto file = open_file(path);
  if (!file) return file.status();
  struct stat info {};
  if (::fstat(file->number(), &info) != 0) return io_error("read", path, errno);
  const auto size = static_cast<std::uintmax_t>(info.st_size);
  GRADSTAB_RETURN_IF_ERROR(check_size(path, size, kind));
  try {
    std::string bytes;
    bytes.reserve(static_cast<std::size_t>(size));
    std::array<char, 1 << 16> buffer;
    for (;;) {
      const ssize_t count = ::read(file->number(), buffer.data(), buffer.size());
      if (count < 0 && errno == EINTR) continue;
      if (count < 0) return io_error("read", path, errno);
      if (count == 0) return bytes;
      bytes.append(buffer.data(), static_cast<std::size_t>(count));
      // It can grow while it is read, and what lies in /proc does not tell its size.
      if (bytes.size() > size) GRADSTAB_RETURN_IF_ERROR(check_size(path, bytes.size(), kind));
    }
  } catch (const std::bad_alloc&) {
    return Status(StatusCode::io_error, fmt::format("cannot read '{}': there is no memory for its {}",
                                                    path.string(), size_text(size)));
  }
}

Result<std::string> read_end_of_file(const std::filesystem::path& path, std::size_t most) {
  const auto file = open_file(path);
  if (!file) return file.status();
  const off_t size = ::lseek(file->number(), 0, SEEK_END);
  if (size < 0) return io_error("read", path, errno);
  std::string bytes(std::min(most, static_cast<std::size_t>(size)), '\0');
  const off_t begin = size - static_cast<off_t>(bytes.size());
  std::size_t filled = 0;
  while (filled < bytes.size()) {
    const ssize_t count = ::pread(file->number(), bytes.data() + filled, bytes.size() - filled,
                                  begin + static_cast<off_t>(filled));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return io_error("read", path, errno);
    if (count == 0) break;  // it was cut meanwhile
    filled += static_cast<std::size_t>(count);
  }
  bytes.resize(filled);
  return bytes;
}

Status write_all(const Descriptor& file, const std::filesystem::path& path, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(file.number(), bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return io_error("write", path, errno);
    bytes.remove_prefix(static_cast<std::size_t>(written));
  }
  return {};
}

Status write_file_atomically(const std::filesystem::path& path, std::string_view bytes) {
  auto destination = destination_of(path);
  if (!destination) return destination.status();
  if (destination->in_place()) {
    auto file = destination->open();
    if (!file) return file.status();
    GRADSTAB_RETURN_IF_ERROR(write_all(*file, path, bytes));
    return file->close() ? Status() : io_error("write", path, errno);
  }
  remove_abandoned_files(destination->path.parent_path(), destination->path.filename().string());
  auto file = NewFile::create(path);
  if (!file) return file.status();
  GRADSTAB_RETURN_IF_ERROR(file->write(bytes));
  return file->commit();
}

}  // namespace gradstab::lab
