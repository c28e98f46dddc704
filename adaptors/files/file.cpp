#include "file.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string_view>

#include "descriptor.hpp"
#include "text.hpp"

namespace gradstab::files {
namespace {

constexpr std::string_view kTemporaryMark = ".tmp";  // NAME.tmpPID.NUMBER

/// Whether the name still leads to the open file.
bool is_name_of(const char* name, int descriptor) noexcept {
  struct stat named {};
  struct stat open {};
  return ::lstat(name, &named) == 0 && ::fstat(descriptor, &open) == 0 && named.st_dev == open.st_dev &&
         named.st_ino == open.st_ino;
}

/// A file under a name of its own, removed unless that was given away. It is locked, which ends with this
/// process however it ends: so the next writer can tell what a killed one has left.
class TemporaryFile {
 public:
  /// Allocates before it makes the file: nothing is left where there is no memory.
  explicit TemporaryFile(const std::string& target)
      : path_(temporary_name(target)),
        file_(::open(path_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666)) {}
  ~TemporaryFile() {
    if (file_.valid() && !renamed_) ::unlink(path_.c_str());
  }
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;

  const std::string& path() const noexcept { return path_; }
  Descriptor& file() noexcept { return file_; }
  /// False where somebody took it for what a killed writer has left.
  bool lock() noexcept {
    const bool busy = ::flock(file_.number(), LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK;
    return !busy && is_name_of(path_.c_str(), file_.number());
  }
  bool rename_to(const std::string& target) noexcept {
    renamed_ = ::rename(path_.c_str(), target.c_str()) == 0;
    return renamed_;
  }

 private:
  /// Two threads, or two processes, that write the same file do not write the same temporary one.
  static std::string temporary_name(const std::string& target) {
    static std::atomic<unsigned> counter = 0;
    std::string name = target;
    name += kTemporaryMark;
    name += std::to_string(::getpid());
    name += ".";
    name += std::to_string(counter.fetch_add(1));
    return name;
  }

  std::string path_;
  Descriptor file_;
  bool renamed_ = false;
};

/// Reads until `bytes` is full or the file ends, and cuts it to what there was.
bool read_all(int descriptor, std::vector<std::byte>& bytes, std::size_t filled) noexcept {
  const std::ptrdiff_t count = read_some(descriptor, std::span(bytes).subspan(filled));
  if (count < 0) return false;
  bytes.resize(filled + static_cast<std::size_t>(count));
  return true;
}

/// What the beginning of a state says about its size, in bytes (docs/state-format.md). Of anything else the
/// beginning is enough to refuse it.
constexpr std::size_t kHeaderBytes = 24;
std::uint64_t announced_size(const std::vector<std::byte>& header) noexcept {
  constexpr std::string_view kMagic = "GRADSTAB";
  constexpr std::size_t kLengthOffset = 16;
  if (header.size() < kHeaderBytes || std::memcmp(header.data(), kMagic.data(), kMagic.size()) != 0)
    return header.size();
  std::uint64_t length = 0;
  for (std::size_t i = 0; i < sizeof length; ++i)
    length |= std::to_integer<std::uint64_t>(header[kLengthOffset + i]) << (8 * i);
  return length > UINT64_MAX - kHeaderBytes ? UINT64_MAX : kHeaderBytes + length;
}

std::uint64_t memory_of_machine() noexcept {
  const long pages = ::sysconf(_SC_PHYS_PAGES);
  const long page = ::sysconf(_SC_PAGESIZE);
  return static_cast<std::uint64_t>(std::max(pages, 0L)) * static_cast<std::uint64_t>(std::max(page, 0L));
}

std::string_view folder_of(const std::string& path) noexcept {
  const std::size_t slash = path.rfind('/');
  return slash == std::string::npos ? std::string_view() : std::string_view(path).substr(0, slash + 1);
}

/// Whether a link is an open file, whatever name it shows: /dev/stdout leads to one.
bool is_open_file(const std::string& link) noexcept {
  return link.starts_with("/proc/") || link.starts_with("/dev/fd/");
}

/// The end of a chain of symbolic links, where there need not be anything yet.
Result<std::string> resolved(const std::string& path) {
  constexpr int kMostLinks = 40;  // as many as the kernel follows
  std::string target = path;
  for (int links = 0; links <= kMostLinks; ++links) {
    std::array<char, 4096> link;
    const ssize_t size = is_open_file(target) ? -1 : ::readlink(target.c_str(), link.data(), link.size());
    if (size < 0) return target;
    const std::string_view text(link.data(), static_cast<std::size_t>(size));
    target = text.starts_with('/') ? std::string(text) : std::string(folder_of(target)).append(text);
  }
  return io_error("write", path, ELOOP);
}

/// Whether `name` is `target` with ".tmpPID.NUMBER" behind it.
bool is_temporary_name(std::string_view name, std::string_view target) noexcept {
  if (!name.starts_with(target) || !name.substr(target.size()).starts_with(kTemporaryMark)) return false;
  const std::string_view rest = name.substr(target.size() + kTemporaryMark.size());
  const std::size_t dot = rest.find('.');
  const auto is_number = [](std::string_view text) {
    return !text.empty() && text.find_first_not_of("0123456789") == std::string_view::npos;
  };
  return dot != std::string_view::npos && is_number(rest.substr(0, dot)) && is_number(rest.substr(dot + 1));
}

/// Removes what killed writers of this file have left.
void remove_abandoned(const std::string& target) {
  const std::string folder = folder_of(target).empty() ? "./" : std::string(folder_of(target));
  const std::string_view name = std::string_view(target).substr(folder_of(target).size());
  std::string path;
  const std::unique_ptr<DIR, int (*)(DIR*)> list(::opendir(folder.c_str()), &::closedir);
  while (const dirent* entry = list ? ::readdir(list.get()) : nullptr) {
    if (!is_temporary_name(entry->d_name, name)) continue;
    path.assign(folder).append(entry->d_name);
    const Descriptor file(::open(path.c_str(), O_WRONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
    if (file.valid() && ::flock(file.number(), LOCK_EX | LOCK_NB) == 0 &&
        is_name_of(path.c_str(), file.number()))
      ::unlink(path.c_str());
  }
}

/// One of this process's own open files shares its position: what is written later comes after.
int open_in_place(const std::string& path) {
  for (const std::string_view folder : {"/proc/self/fd/", "/dev/fd/"}) {
    if (!path.starts_with(folder)) continue;
    const std::string number = path.substr(folder.size());
    if (!number.empty() && number.size() < 9 && number.find_first_not_of("0123456789") == std::string::npos)
      return ::fcntl(std::stoi(number), F_DUPFD_CLOEXEC, 0);
  }
  return ::open(path.c_str(), O_WRONLY | O_CLOEXEC);
}

Status write_in_place(const std::string& path, const std::string& target, std::span<const std::byte> bytes) {
  Descriptor file(open_in_place(target));
  if (!file.valid()) return io_error("open", path, errno);
  if (!write_all(file.number(), bytes) || !file.close()) return io_error("write", path, errno);
  return {};
}

}  // namespace

Result<std::vector<std::byte>> read_file(const std::string& path) {
  struct stat there {};
  const bool exists = ::stat(path.c_str(), &there) == 0;
  const bool is_readable = S_ISREG(there.st_mode) || S_ISFIFO(there.st_mode) || S_ISDIR(there.st_mode);
  if (exists && !is_readable)
    return error(StatusCode::io_error, "'", path, "' is a device or a socket, expected a file or a pipe");
  const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file.valid() || ::fstat(file.number(), &there) != 0) return io_error("open", path, errno);

  std::vector<std::byte> bytes(kHeaderBytes);
  if (!read_all(file.number(), bytes, 0)) return io_error("read", path, errno);
  const std::uint64_t announced = announced_size(bytes);
  if (announced == bytes.size()) return bytes;
  // A file is read as it is; of what comes out of a pipe one byte more than announced is enough to refuse it.
  const std::uint64_t size =
      S_ISREG(there.st_mode) ? static_cast<std::uint64_t>(there.st_size) : std::max(announced, announced + 1);
  if (const std::uint64_t memory = memory_of_machine(); size > memory) {
    return error(StatusCode::corrupt_data, "'", path, "' has ", size,
                 " bytes, which is more than this machine's memory of ", memory);
  }
  constexpr std::size_t kMostAtOnce = std::size_t{1} << 20;  // what is announced may not be there
  while (bytes.size() < size) {
    const std::size_t filled = bytes.size();
    const std::size_t wanted = static_cast<std::size_t>(std::min<std::uint64_t>(size, filled + kMostAtOnce));
    bytes.resize(wanted);
    if (!read_all(file.number(), bytes, filled)) return io_error("read", path, errno);
    if (bytes.size() < wanted) break;
  }
  return bytes;
}

Status replace_file(const std::string& path, std::span<const std::byte> bytes) {
  const auto target = resolved(path);
  if (!target) return target.status();
  struct stat there {};
  const bool exists = ::stat(target->c_str(), &there) == 0;
  if (is_open_file(*target) || (exists && !S_ISREG(there.st_mode)))
    return write_in_place(path, *target, bytes);

  remove_abandoned(*target);
  constexpr int kMostTries = 100;
  for (int tries = 0; tries < kMostTries; ++tries) {
    TemporaryFile temporary(*target);
    if (!temporary.file().valid() && errno == EEXIST) continue;
    if (!temporary.file().valid()) return io_error("create", temporary.path(), errno);
    if (!temporary.lock()) continue;
    const int number = temporary.file().number();
    const bool written = (!exists || ::fchmod(number, there.st_mode & 0777) == 0) &&
                         write_all(number, bytes) && ::fsync(number) == 0 && temporary.rename_to(*target) &&
                         temporary.file().close();
    if (!written) return io_error("write", path, errno);
    return {};
  }
  return io_error("create", *target, EEXIST);
}

}  // namespace gradstab::files
